import { createHash } from 'node:crypto';
import type { LoginRequest, Logins } from '@sallyport/agent';
import { Secret } from '@sallyport/core';
import { METADATA_USER, type AuthenticationRequest, type Verdict } from '@sallyport/openvpn';
import type { DevicePlan } from '@sallyport/policy';
import { AuthTokens } from './auth-tokens.ts';

/** RFC 9562, as the control plane writes it. */
const DEVICE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAX_PROGRAM_LENGTH = 100;
/** A device that the control plane admits a moment before its state has come. */
const RETRY_SECONDS = 2;

type Answer = Parameters<Parameters<Logins['ask']>[1]>[0];

export interface OpenVpnLoginsOptions {
  readonly tokens: AuthTokens;
  readonly logins: Logins;
  /** A device that may connect here now. */
  readonly device: (id: string) => DevicePlan | undefined;
  readonly push: () => readonly string[];
  /** The address of the path record at `path`, as text. */
  readonly addressOf: (path: number) => string;
  readonly decide: (id: number, verdict: Verdict) => void;
}

/**
 * Whether a client may come in: by its certificate and by what the gateway knows of the device where that does, by asking
 * the control plane where it does not. Every client has a profile, whose tls-crypt-v2 key says whose it is.
 */
export class OpenVpnLogins {
  readonly #options: OpenVpnLoginsOptions;
  /** How to say that nobody waits any more, by request. */
  readonly #asked = new Map<number, () => void>();

  constructor(options: OpenVpnLoginsOptions) {
    this.#options = options;
  }

  /** Answers by `decide`, at once or later. */
  ask(request: AuthenticationRequest): void {
    const verdict = this.#judge(request);
    if (verdict !== undefined) this.#options.decide(request.id, verdict);
  }

  /** The client of this request is gone. */
  cancel(id: number): void {
    this.#asked.get(id)?.();
    this.#asked.delete(id);
  }

  cancelAll(): void {
    for (const cancel of this.#asked.values()) cancel();
    this.#asked.clear();
  }

  /** The verdict, or undefined where the control plane was asked for it. */
  #judge(request: AuthenticationRequest): Verdict | undefined {
    const deviceId = deviceOf(request.profile);
    if (deviceId === undefined || (request.renewing !== undefined && request.renewing !== deviceId))
      return refusal('this profile is of no device: download it again');
    const certificate = request.certificate && createHash('sha256').update(request.certificate).digest('hex');
    const device = this.#options.device(deviceId);
    const token = request.password !== undefined && AuthTokens.isToken(request.password);
    if (device?.openvpn !== undefined) {
      const { certificates, login } = device.openvpn;
      if (certificates.length > 0 && (certificate === undefined || !certificates.includes(certificate)))
        return refusal("the certificate is not this device's, or has expired: download the profile again");
      if (login === 'certificate') return this.#admit(device);
      if (token && request.password !== undefined && this.#options.tokens.isValid(request.password, deviceId))
        return this.#admit(device);
      const proof = proofOf(request, login);
      if (proof !== undefined) {
        this.#askControl(request, { deviceId, certificate, proof });
        return undefined;
      }
      // A token that is worth nothing any more is shown in the place of the password: the user is to be asked again.
      if (token) return { kind: 'refuse', reason: 'log in again', sessionEnded: true };
      return refusal(
        login === 'web'
          ? 'this device logs in by a browser, and the program has not said that it can open one (IV_SSO)'
          : 'this device logs in by user name and password',
      );
    }
    // Not now, or not any more. The control plane says why, or what changes that: a login, maybe.
    const proof = proofOf(request, undefined) ?? { kind: 'none' };
    this.#askControl(request, { deviceId, certificate, proof });
    return undefined;
  }

  #askControl(
    { id, password, path, peerInfo }: AuthenticationRequest,
    request: Pick<LoginRequest, 'deviceId' | 'certificate' | 'proof'>,
  ): void {
    const { logins, addressOf, decide } = this.#options;
    const program = [peerInfo.get('IV_GUI_VER') ?? peerInfo.get('IV_VER') ?? '', peerInfo.get('IV_PLAT') ?? ''];
    const client = program.join(' ').trim().slice(0, MAX_PROGRAM_LENGTH);
    const token = password !== undefined && AuthTokens.isToken(password);
    const sso = peerInfo.get('IV_SSO')?.split(',') ?? [];
    const cancel = logins.ask({ ...request, address: addressOf(path), client }, (answer) => {
      if (answer.kind !== 'web') this.#asked.delete(id);
      decide(id, this.#verdictOf(answer, request.deviceId, sso, token));
    });
    this.#asked.set(id, cancel);
  }

  #verdictOf(answer: Answer, deviceId: string, sso: readonly string[], token: boolean): Verdict {
    switch (answer.kind) {
      case 'admit': {
        const device = this.#options.device(deviceId);
        if (device?.openvpn !== undefined) return this.#admit(device);
        return { kind: 'refuse', reason: 'come again in a moment', retryAfterSeconds: RETRY_SECONDS };
      }
      case 'refuse': {
        const { reason, challenge, retryAfterSeconds } = answer;
        return { kind: 'refuse', reason, challenge, retryAfterSeconds, sessionEnded: token };
      }
      case 'web': {
        const info = sso.includes('webauth') ? `WEB_AUTH::${answer.url}` : `OPEN_URL:${answer.url}`;
        return { kind: 'pending', timeoutSeconds: answer.timeoutSeconds, info };
      }
    }
  }

  #admit({ id, ipv4, ipv6, openvpn }: DevicePlan): Verdict {
    // A client that ends says so.
    const push = [...this.#options.push(), 'explicit-exit-notify 1'];
    if (openvpn?.login === 'certificate') return { kind: 'admit', deviceId: id, ipv4, ipv6, push };
    // Where no name was asked for, none goes with the token unless the client is given one.
    const user = `auth-token-user ${Buffer.from(openvpn?.userName ?? '').toString('base64')}`;
    const token = this.#options.tokens.issue(id);
    return { kind: 'admit', deviceId: id, ipv4, ipv6, push: openvpn?.login === 'web' ? [...push, user] : push, token };
  }
}

function refusal(reason: string): Verdict {
  return { kind: 'refuse', reason };
}

/** The device that a profile was made for. */
function deviceOf(profile: Uint8Array | undefined): string | undefined {
  if (profile === undefined || profile[0] !== METADATA_USER) return undefined;
  const id = Buffer.from(profile.subarray(1)).toString('latin1');
  return DEVICE_ID.test(id) ? id : undefined;
}

/** What the control plane can look at, for this way of logging in or, where none is known, for any. */
function proofOf(
  { userName, password, response, challengeState, peerInfo }: AuthenticationRequest,
  login: 'password' | 'web' | undefined,
): LoginRequest['proof'] | undefined {
  // Who answers a challenge has shown the password before.
  const shown = challengeState === undefined ? password : new Secret('');
  if (login !== 'web' && userName !== undefined && shown !== undefined && !AuthTokens.isToken(shown))
    return { kind: 'password', userName, password: shown, code: response, challengeState };
  const sso = peerInfo.get('IV_SSO')?.split(',') ?? [];
  return login !== 'password' && (sso.includes('webauth') || sso.includes('openurl')) ? { kind: 'web' } : undefined;
}
