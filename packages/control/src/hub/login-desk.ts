import type { Authenticate, AuthenticationVerdict } from '@sallyport/link';
import type { TunnelLogins } from '../openvpn/tunnel-logins.ts';
import { dropTunnelLogins, takeDecided } from '../repositories/tunnel-logins.ts';
import type { Services } from '../services.ts';
import type { Change } from '../store/store.ts';
import type { GatewaySession } from './gateway-session.ts';

/** Questions of one gateway that have no verdict yet; it holds to fewer by itself. */
const MAX_OPEN = 2048;

/** One whose user is to log in by a browser. */
interface Waiting {
  readonly session: GatewaySession;
  readonly number: number;
  readonly deviceId: string;
  readonly userId: string;
  /** The user's, when it began. */
  readonly loginEpoch: string;
  readonly until: number;
}

export interface LoginDeskOptions {
  readonly services: Services;
  readonly logins: TunnelLogins;
  /** Whether a user's devices may be at a gateway; undefined where that isn't known here. */
  readonly reaches: (gatewayId: string, userId: string) => boolean | undefined;
  /** Settles once a gateway serves the organisation as it is now, or is gone. */
  readonly whenServed: (gatewayId: string) => Promise<void>;
}

/** Takes questions about logins from gateways, and brings them the verdicts. */
export class LoginDesk {
  readonly #options: LoginDeskOptions;
  /** Numbers of questions without a verdict, by connection. */
  readonly #open = new Map<GatewaySession, Set<number>>();
  /** By code. */
  readonly #waiting = new Map<string, Waiting>();

  constructor(options: LoginDeskOptions) {
    this.#options = options;
  }

  async take(session: GatewaySession, message: Authenticate): Promise<void> {
    const { number, deviceId } = message;
    let open = this.#open.get(session);
    if (open === undefined) this.#open.set(session, (open = new Set()));
    if (open.size >= MAX_OPEN || open.has(number)) {
      session.link.close();
      return;
    }
    open.add(number);
    const { services, logins, reaches } = this.#options;
    const userId = services.directory.model.devices.get(deviceId)?.userId;
    if (userId !== undefined && reaches(session.gatewayId, userId) === false) {
      const reason = 'Nothing may be reached through this gateway with this account: use another one.';
      this.#answer(session, number, { kind: 'refuse', reason });
      return;
    }
    const verdict = await logins.decide(session.gatewayId, message);
    if (verdict.kind === 'web') {
      const { code, userId: owner, loginEpoch, ...web } = verdict;
      if (!open.has(number)) {
        this.#drop([code]);
        return;
      }
      const until = services.now() + web.timeoutSeconds * 1000;
      this.#waiting.set(code, { session, number, deviceId, userId: owner, loginEpoch, until });
      session.link.send({ kind: 'authenticated', number, verdict: web });
    } else await this.#conclude(session, number, verdict);
  }

  /** Nobody waits for a verdict any more. */
  cancel(session: GatewaySession, number: number): void {
    this.#open.get(session)?.delete(number);
    this.#drop(this.#codesOf((waiting) => waiting.session === session && waiting.number === number));
  }

  /** The connection is gone, and what was asked by it. */
  end(session: GatewaySession): void {
    this.#open.delete(session);
    this.#drop(this.#codesOf((waiting) => waiting.session === session));
  }

  /** Users change when they let a device in, or send it away, at whichever control node. */
  hear(changes: readonly Change[], complete: boolean): void {
    if (this.#waiting.size === 0) return;
    const { directory, now } = this.#options.services;
    const at = now();
    this.#drop(this.#codesOf(({ until }) => until <= at));
    for (const [code, { session, number, deviceId }] of [...this.#waiting]) {
      if (directory.model.devices.has(deviceId)) continue;
      this.#waiting.delete(code);
      this.#answer(session, number, { kind: 'refuse', reason: 'This device was removed.' });
    }
    const users = new Set(changes.filter(({ kind }) => kind === 'user').map(({ id }) => id));
    const codes = this.#codesOf(({ userId }) => complete || users.has(userId));
    if (codes.length > 0)
      this.#look(codes).catch((error: unknown) => {
        this.#options.services.log.error({ err: error }, 'logins in a browser could not be looked up');
      });
  }

  async #look(codes: readonly string[]): Promise<void> {
    const { db } = this.#options.services.store;
    for (const [code, decision] of await takeDecided(db, codes)) {
      const waiting = this.#waiting.get(code);
      this.#waiting.delete(code);
      if (waiting === undefined) continue;
      const { session, number, deviceId, loginEpoch } = waiting;
      if (decision === 'approved')
        await this.#conclude(session, number, await this.#options.logins.admit(deviceId, loginEpoch));
      else this.#answer(session, number, { kind: 'refuse', reason: 'The login was refused in the browser.' });
    }
  }

  /** Whoever is let in is in the gateway's state before it hears of that. */
  async #conclude(session: GatewaySession, number: number, verdict: AuthenticationVerdict): Promise<void> {
    if (verdict.kind === 'admit') await this.#options.whenServed(session.gatewayId);
    this.#answer(session, number, verdict);
  }

  #answer(session: GatewaySession, number: number, verdict: AuthenticationVerdict): void {
    if (this.#open.get(session)?.delete(number) !== true) return;
    session.link.send({ kind: 'authenticated', number, verdict });
  }

  #codesOf(of: (waiting: Waiting) => boolean): string[] {
    return [...this.#waiting].filter(([, waiting]) => of(waiting)).map(([code]) => code);
  }

  #drop(codes: readonly string[]): void {
    if (codes.length === 0) return;
    for (const code of codes) {
      const { session, number } = this.#waiting.get(code) ?? {};
      this.#waiting.delete(code);
      if (session !== undefined && number !== undefined) this.#open.get(session)?.delete(number);
    }
    const { store, log } = this.#options.services;
    dropTunnelLogins(store.db, codes).catch((error: unknown) => {
      // They are over in some minutes by themselves.
      log.debug({ err: error }, 'logins in a browser could not be taken away');
    });
  }
}
