/** Whether a device may come in by what it, or its user, has shown to a gateway. */
import { createHash } from 'node:crypto';
import { signLoginToken, type Authenticate, type AuthenticationVerdict } from '@sallyport/link';
import { sessionLifetimeOf, standingOf, type DeviceModel } from '@sallyport/policy';
import { DeviceAuthorizationLimits, showUserCode } from '../auth/device-authorization.ts';
import type { Identity } from '../auth/identity.ts';
import { proveCode, provePassword, type ProvenPassword } from '../auth/password-login.ts';
import { ApiError } from '../http/api-error.ts';
import { canonicalAddress } from '../http/client-address.ts';
import { RateLimiter } from '../http/rate-limiter.ts';
import { messageOf } from '../repositories/devices.ts';
import { lacksSecondFactor } from '../repositories/second-factors.ts';
import { addTunnelLogin, TUNNEL_LOGIN_MS } from '../repositories/tunnel-logins.ts';
import type { Services } from '../services.ts';
import { findUserByName, type UserRow } from '../repositories/users.ts';
import type { Origin } from '../store/store.ts';
import { openVpnAuthority } from './authority.ts';

/** How long the answer to a challenge may take. */
const CHALLENGE_MS = 300_000;
/** How long a login counts, where the session lifetime of a group is no shorter. */
const LOGIN_MS = 12 * 3_600_000;
/** Wrong passwords of all devices at one gateway. */
const GATEWAY_TRIES = { burst: 120, perSecond: 2 };
/** What a name or a password may have at the API. */
const MAX_TYPED = 200;

type Refusal = Extract<AuthenticationVerdict, { kind: 'refuse' }>;
type PasswordProof = Extract<Authenticate['proof'], { kind: 'password' }>;

/** What there is to know about a login that was asked about; `code` is what one in a browser waits under. */
export type TunnelVerdict =
  | Exclude<AuthenticationVerdict, { kind: 'web' }>
  | (Extract<AuthenticationVerdict, { kind: 'web' }> & {
      readonly code: string;
      readonly userId: string;
      /** Of the moment at which it began. */
      readonly loginEpoch: string;
    });

interface Asking {
  readonly message: Authenticate;
  readonly gatewayId: string;
  readonly device: DeviceModel;
  readonly user: UserRow;
  /** Before it is proved who it is. */
  readonly origin: Origin;
}

export class TunnelLogins {
  readonly #services: Services;
  readonly #identity: Identity;
  readonly #starts = new DeviceAuthorizationLimits();
  readonly #tries = new RateLimiter(GATEWAY_TRIES);

  constructor(services: Services, identity: Identity) {
    this.#services = services;
    this.#identity = identity;
  }

  /** Decides, as far as that can be done now. Never throws; what went wrong here is a refusal to try again later. */
  async decide(gatewayId: string, message: Authenticate): Promise<TunnelVerdict> {
    try {
      return await this.#decide(gatewayId, message);
    } catch (error) {
      if (error instanceof ApiError) return refusalOf(error);
      this.#services.log.error({ err: error }, 'a login of a device could not be checked');
      return {
        kind: 'refuse',
        reason: 'The login can not be checked at the moment: try again.',
        retryAfterSeconds: 10,
      };
    }
  }

  /**
   * Lets a device in whose user has logged in. `loginEpoch` is what the user had when that began: where their logins were
   * ended meanwhile, it is not what the gateway has, and the token does not count there.
   */
  async admit(deviceId: string, loginEpoch: string): Promise<Exclude<AuthenticationVerdict, { kind: 'web' }>> {
    const { directory, store, now } = this.#services;
    const { tokenKey } = await openVpnAuthority(store);
    const { model } = directory;
    const user = model.users.get(model.devices.get(deviceId)?.userId ?? '');
    if (user === undefined) return refuse('This device was removed: add it anew, and take its profile.');
    const loginAt = now();
    const endsAt = loginAt + Math.min(LOGIN_MS, sessionLifetimeOf(model, user) ?? Infinity);
    return { kind: 'admit', token: signLoginToken({ deviceId, loginEpoch, loginAt, endsAt }, tokenKey) };
  }

  async #decide(gatewayId: string, message: Authenticate): Promise<TunnelVerdict> {
    const { store, directory } = this.#services;
    const device = directory.model.devices.get(message.deviceId);
    const name = device && directory.model.users.get(device.userId)?.name;
    const user = name === undefined ? undefined : await findUserByName(store.db, name);
    if (!device?.openvpn || user?.id !== device.userId) return refuse('This device was removed: add it anew, and take its profile.'); // prettier-ignore
    const { certificate, login } = device.openvpn;
    // What no login is asked of shows a certificate: a profile's key alone lets nobody in.
    if (certificate === null ? login === 'certificate' : certificate.sha256 !== message.certificate)
      return refuse("This is not the device's certificate: take its profile anew.");
    const asking: Asking = { message, gatewayId, device, user, origin: this.#originOf(message) };
    const { proof } = message;
    if (login === 'certificate') return this.#refusalBefore(asking) ?? { kind: 'admit' };
    if (login === 'web') {
      if (proof.kind !== 'web')
        return this.#refusalBefore(asking) ?? refuse('This device logs in by a browser, which this program can not open: use OpenVPN Connect, or OpenVPN 2.6 with its GUI.'); // prettier-ignore
      return this.#refusalBefore(asking) ?? (await this.#openInBrowser(asking));
    }
    if (proof.kind !== 'password') return refuse('Log in with your name and password.');
    return this.#byPassword(asking, proof);
  }

  async #byPassword(asking: Asking, proof: PasswordProof): Promise<TunnelVerdict> {
    const { user, device, origin, gatewayId, message } = asking;
    const services = this.#services;
    const identity = this.#identity;
    const given = proof.code?.trim() === '' ? undefined : proof.code?.slice(0, MAX_TYPED);
    const password =
      proof.challengeState === undefined
        ? await this.#provePassword(asking, proof)
        : this.#openChallenge(asking, proof.challengeState);
    if (password === undefined) return refuse('The login took too long, or was used already: begin again.');
    const { challenge } = password;
    const code = await proveCode(services, identity, { user, code: given, from: 'tunnel', origin }).catch(
      (error: unknown) => {
        if (!(error instanceof ApiError) || error.code !== 'secondFactorRequired') throw error;
        password.giveBack();
        return error;
      },
    );
    if (code instanceof ApiError) return this.#challenge(asking, code);
    const methods = ['password', ...code.methods] as const;
    if (await lacksSecondFactor(services.store.db, { userId: user.id, methods, providerId: null }))
      return refuse(`A group of yours demands a second factor: set one up at ${services.publicUrl()} first.`);
    const before = this.#refusalBefore(asking);
    if (before !== undefined) {
      password.giveBack();
      code.giveBack();
      return before;
    }
    await services.store
      .write({ ...origin, actor: { kind: 'user', id: user.id, name: user.name } }, async (writing) => {
        const { db, now, audit, changed } = writing;
        if (challenge !== undefined && !(await identity.challenges.use(db, challenge)))
          throw new ApiError('loginFailed', 'The login was used already: begin again.');
        await password.use(db);
        await code.use(db);
        await db.updateTable('user').set({ last_login_at: now }).where('id', '=', user.id).execute();
        await audit('login.succeed', { kind: 'user', id: user.id, name: user.name }, undefined, {
          device: { id: device.id, name: device.name },
          gateway: gatewayId,
          client: message.client,
          methods,
        });
        changed('user', user.id);
      })
      .catch(code.failed);
    password.giveBack();
    code.giveBack();
    return this.#refusalBefore(asking) ?? (await this.admit(device.id, user.login_epoch));
  }

  async #provePassword(
    { user, device, gatewayId, origin, message }: Asking,
    proof: PasswordProof,
  ): Promise<ProvenPassword & { readonly challenge?: undefined }> {
    const giveBack = this.#takeTry(gatewayId);
    const name = proof.userName.trim().toLowerCase();
    const own = name === user.name && proof.password.length <= MAX_TYPED;
    const proven = await provePassword(this.#services, this.#identity, {
      name,
      password: proof.password.slice(0, MAX_TYPED),
      // A device is its user's: nobody else's password opens it.
      user: own ? user : undefined,
      address: canonicalAddress(message.address) ?? 'unknown',
      // Who has its profile is no stranger: whoever guesses elsewhere does not keep it out, and it has no more tries, by
      // whatever name and address.
      knownClient: `tunnel ${device.id}`,
      origin,
    }).catch((error: unknown) => {
      // No password was looked at: who has used up its own tries leaves the others theirs.
      if (error instanceof ApiError && error.code === 'tooManyRequests') giveBack();
      throw error;
    });
    giveBack();
    return proven;
  }

  /** Wrong passwords that one gateway may bring: one that was taken over does not keep the others' from being looked at. */
  #takeTry(gatewayId: string): () => void {
    const wait = this.#tries.take(gatewayId, this.#services.now());
    if (wait > 0)
      throw new ApiError('tooManyRequests', 'Too many logins failed at this gateway: try again in a moment.', {
        retryAfter: wait / 1000,
      });
    return () => this.#tries.giveBack(gatewayId);
  }

  /** The password was right; the code is asked for in a new connection. */
  #challenge({ user, device }: Asking, { more }: ApiError): Refusal {
    if (more.methods?.some((method) => method === 'code' || method === 'recoveryCode') !== true)
      return refuse(
        'Your second factor is a passkey, which OpenVPN does not know: set up an authenticator app, or a device that logs in by a browser.',
      );
    return {
      ...refuse('The code of your authenticator app is asked for next.'),
      challenge: {
        state: this.#identity.challenges.issue('tunnel-code', digestOf(device, user.password_hash), CHALLENGE_MS),
        text: 'Code of your authenticator app, or a recovery code',
        echo: true,
      },
    };
  }

  /** Undefined where the challenge is over, or another's. */
  #openChallenge({ user, device }: Asking, challenge: string) {
    const { challenges } = this.#identity;
    if (challenges.open('tunnel-code', challenge) !== digestOf(device, user.password_hash)) return undefined;
    const { password_hash: before } = user;
    const use: ProvenPassword['use'] = async (db) => {
      const row = await db.selectFrom('user').select('password_hash').where('id', '=', user.id).executeTakeFirst();
      if (row === undefined || row.password_hash !== before)
        throw new ApiError('loginFailed', 'The password was changed meanwhile: begin again.');
    };
    return { challenge, giveBack: (): void => undefined, use };
  }

  async #openInBrowser({ user, device, gatewayId, message, origin }: Asking): Promise<TunnelVerdict> {
    const { store, now: clock, publicUrl } = this.#services;
    const address = canonicalAddress(message.address) ?? 'unknown';
    this.#starts.takeStart(address, clock());
    const asking = {
      device_id: device.id,
      user_id: user.id,
      gateway_id: gatewayId,
      client: cleanText(message.client),
      address,
    };
    const { code } = await store.write(origin, ({ db, now }) => addTunnelLogin(db, asking, now));
    return {
      kind: 'web',
      url: `${publicUrl()}/tunnel-login?code=${showUserCode(code)}`,
      timeoutSeconds: TUNNEL_LOGIN_MS / 1000,
      code,
      userId: user.id,
      loginEpoch: user.login_epoch,
    };
  }

  /** Why the device may not come in, whoever logs in by it. */
  #refusalBefore({ device }: Asking): Refusal | undefined {
    const { directory, now } = this.#services;
    const present = directory.model.devices.get(device.id);
    if (present === undefined) return refuse('This device was removed: add it anew, and take its profile.');
    const { standing, validUntil } = standingOf(directory.model, present, now());
    if (standing === 'active') return undefined;
    // That is what the user is about to do.
    if (standing === 'loginRequired' && present.openvpn?.login !== 'certificate') return undefined;
    return refuse(messageOf(standing, validUntil));
  }

  #originOf({ address }: Authenticate): Origin {
    const { auditAddresses } = this.#services.directory.settings;
    return {
      actor: { kind: 'system', id: null, name: 'anonymous' },
      via: 'gateway',
      address: auditAddresses ? (canonicalAddress(address) ?? null) : null,
    };
  }
}

function refuse(reason: string): Refusal {
  return { kind: 'refuse', reason };
}

function refusalOf({ detail, retryAfter }: ApiError): Refusal {
  return {
    ...refuse(detail.slice(0, 500)),
    ...(retryAfter === undefined ? {} : { retryAfterSeconds: Math.min(Math.max(1, Math.ceil(retryAfter)), 86_400) }),
  };
}

/**
 * What is sealed in the state of a dynamic challenge: whose it is, and that another password ends it. It is short, because
 * OpenVPN's management interface, by which NetworkManager and graphical clients speak to it, takes answers of at most 255
 * characters, the state in them.
 */
function digestOf({ id, userId }: DeviceModel, passwordHash: string | null): string {
  return createHash('sha256')
    .update(JSON.stringify(['tunnel', id, userId, passwordHash]))
    .digest('base64');
}

/** As it is shown to people: nothing that could look like something else. */
function cleanText(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]/g, '').trim();
}
