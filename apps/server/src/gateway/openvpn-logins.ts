import { createHash } from 'node:crypto';
import type { LoginRequest, Logins } from '@sallyport/agent';
import { Secret } from '@sallyport/core';
import { advancesBy, METADATA_USER, type AuthenticationRequest, type Verdict } from '@sallyport/openvpn';
import type { DevicePlan, OpenVpnDevice } from '@sallyport/policy';
import { AuthTokens } from './auth-tokens.ts';

/** RFC 9562, as the control plane writes it. */
const DEVICE_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const MAX_PROGRAM_LENGTH = 100;
/** For a device that the control plane admits a moment before its state has come, or after it has changed. */
const COME_AGAIN: Verdict = { kind: 'refuse', reason: 'come again in a moment', retryAfterSeconds: 2 };
/** Said before anybody looks at a code: one that was used up here would be worth nothing there. */
const ELSEWHERE: Verdict = { kind: 'refuse', reason: 'this gateway is going out of service', retryAfterSeconds: 1, elsewhere: true }; // prettier-ignore
const OTHER_CERTIFICATE = "the certificate is not this device's, or has expired: download the profile again";

type Answer = Parameters<Parameters<Logins['ask']>[1]>[0];

export interface OpenVpnLoginsOptions {
  readonly tokens: AuthTokens;
  readonly logins: Logins;
  /** A device that may connect here now. */
  readonly device: (id: string) => DevicePlan | undefined;
  readonly push: () => readonly string[];
  /** Whether this device, which would be let in, is to go to another gateway instead. */
  readonly goesElsewhere: (id: string) => boolean;
  /** The address of the path record at `path`, as text; later where it isn't known yet. */
  readonly addressOf: (path: number) => string | Promise<string>;
  readonly decide: (id: number, verdict: Verdict) => void;
}

/**
 * Whether a client may come in: by its certificate and by what the gateway knows of the device where that does, by asking
 * the control plane where it does not. Every client has a profile, whose tls-crypt-v2 key says whose it is, and no more:
 * whoever has been a gateway of the service can make one. What lets in is a certificate, a login or its token.
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

  /** Whether a profile is of a device that may connect here now. */
  knows(profile: Uint8Array): boolean {
    const deviceId = deviceOf(profile);
    return deviceId !== undefined && this.#options.device(deviceId) !== undefined;
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
      const { login } = device.openvpn;
      if (!countsHere(certificate, device.openvpn)) return refusal(OTHER_CERTIFICATE);
      if (
        request.renewing === undefined &&
        advancesBy(request.peerInfo) === 'refusal' &&
        this.#options.goesElsewhere(deviceId)
      )
        return ELSEWHERE;
      if (login === 'certificate') return this.#admit(device, undefined);
      if (token && request.password !== undefined && this.#options.tokens.isValid(request.password, device))
        return this.#admit(device, request.password);
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

  #askControl(asked: AuthenticationRequest, request: Omit<LoginRequest, 'address' | 'client'>): void {
    const address = this.#options.addressOf(asked.path);
    if (typeof address === 'string') {
      this.#askFrom(address, asked, request);
      return;
    }
    let cancelled = false;
    this.#asked.set(asked.id, () => (cancelled = true));
    void address.then((known) => {
      if (!cancelled) this.#askFrom(known, asked, request);
    });
  }

  #askFrom(
    address: string,
    { id, password, peerInfo }: AuthenticationRequest,
    request: Omit<LoginRequest, 'address' | 'client'>,
  ): void {
    const { logins, decide } = this.#options;
    const program = [peerInfo.get('IV_GUI_VER') ?? peerInfo.get('IV_VER') ?? '', peerInfo.get('IV_PLAT') ?? ''];
    const client = program.join(' ').trim().slice(0, MAX_PROGRAM_LENGTH);
    const token = password !== undefined && AuthTokens.isToken(password);
    const sso = peerInfo.get('IV_SSO')?.split(',') ?? [];
    const cancel = logins.ask({ ...request, address, client }, (answer) => {
      if (answer.kind !== 'web') this.#asked.delete(id);
      decide(id, this.#verdictOf(answer, request, sso, token));
    });
    this.#asked.set(id, cancel);
  }

  #verdictOf(
    answer: Answer,
    { deviceId, certificate }: Pick<LoginRequest, 'deviceId' | 'certificate'>,
    sso: readonly string[],
    token: boolean,
  ): Verdict {
    switch (answer.kind) {
      case 'admit':
        return this.#admitted(deviceId, certificate, answer.token) ?? COME_AGAIN;
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

  /**
   * By the control plane's word, where it is still so by what the gateway has now: certificates and logins may have come to
   * an end while that was under way.
   */
  #admitted(deviceId: string, certificate: string | undefined, token: string | undefined): Verdict | undefined {
    const device = this.#options.device(deviceId);
    if (device?.openvpn === undefined || !countsHere(certificate, device.openvpn)) return undefined;
    if (device.openvpn.login === 'certificate') return this.#admit(device, undefined);
    const shown = token === undefined ? undefined : new Secret(token);
    if (shown === undefined || !this.#options.tokens.isValid(shown, device)) return undefined;
    return this.#admit(device, shown);
  }

  /** With the token of its login, which it is given again each time: nothing prolongs it. */
  #admit({ id, ipv4, ipv6, openvpn }: DevicePlan, token: Secret<string> | undefined): Verdict {
    // A client that ends says so.
    const push = [...this.#options.push(), 'explicit-exit-notify 1'];
    if (token === undefined) return { kind: 'admit', deviceId: id, ipv4, ipv6, push };
    // Where no name was asked for, none goes with the token unless the client is given one.
    const user = `auth-token-user ${Buffer.from(openvpn?.userName ?? '').toString('base64')}`;
    return { kind: 'admit', deviceId: id, ipv4, ipv6, push: openvpn?.login === 'web' ? [...push, user] : push, token };
  }
}

function refusal(reason: string): Verdict {
  return { kind: 'refuse', reason };
}

/** Whether this certificate, or none, is what the device has to show. A device that logs in by nothing else has one. */
function countsHere(certificate: string | undefined, { certificates, login }: OpenVpnDevice): boolean {
  if (certificates.length === 0) return login !== 'certificate';
  return certificate !== undefined && certificates.includes(certificate);
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
