import type { Instant, Memory, SessionOutbox } from '@sallyport/core';
import type { OpenVpnCrypto } from '../crypto.ts';
import type { DataSessions } from '../data/data-sessions.ts';
import type { TlsEngine } from '../tls.ts';
import type { ControlWrap } from '../wire/control-wrap.ts';
import type { AuthenticationRequest } from './authentication.ts';
import type { TunnelNetwork } from './push-options.ts';
import type { ServerCounters, ServerEvent } from './server-events.ts';
import type { ServerSession } from './server-session.ts';
import type { ServerSettings } from './settings.ts';

/** What a session has of its server. */
export interface ServerContext {
  readonly memory: Memory;
  readonly crypto: OpenVpnCrypto;
  readonly tls: TlsEngine;
  readonly data: DataSessions;
  readonly scratchPath: number;
  readonly settings: ServerSettings;
  readonly counters: ServerCounters;
  readonly network: () => TunnelNetwork;
  report(event: ServerEvent): void;
  /** A number for a TLS session, by which its output finds the exchange. */
  openTlsId(session: ServerSession): number;
  closeTlsId(id: number): void;
  /** Asks whether the client may come in; the answer comes by {@link ServerSession.decide}. */
  ask(session: ServerSession, request: Omit<AuthenticationRequest, 'id'>): void;
  /** No answer is needed any more. */
  unask(session: ServerSession): void;
  /** Whether the client may ask for new keys once more: it counts as a start. */
  mayRenegotiate(session: ServerSession, now: Instant): boolean;
  /** Its user logs in elsewhere. Of one profile one does: one that waits already is sent away. */
  pending(session: ServerSession, now: Instant, out: SessionOutbox): void;
  /** A device is let in once more: closes the session that it had. */
  replaceOf(deviceId: string): void;
  /** The session is that of a device, and not a key exchange of a stranger any more. */
  admitted(session: ServerSession, deviceId: string): void;
}

export interface ServerSessionOptions {
  /** How it is found: by the client's session id. */
  readonly key: string;
  /** What limits count it by. */
  readonly source: string;
  /** What the client's tls-crypt-v2 key says. */
  readonly profile: Uint8Array | undefined;
  readonly wrap: ControlWrap;
  /** The server's. */
  readonly sessionId: Uint8Array;
  readonly clientId: Uint8Array;
  /** The record of the path that it came by. */
  readonly path: number;
  /** The resets were exchanged without a trace; otherwise it has still to prove its address. */
  readonly proven: boolean;
  readonly now: Instant;
}
