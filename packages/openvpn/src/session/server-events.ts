import type { Instant, SessionId } from '@sallyport/core';
import type { DataCipher, SessionActivity } from '../data/data-sessions.ts';
import type { AdvancesBy } from './negotiation.ts';

/** What a client is told when its session is ended from here. */
export type Ending =
  | { readonly kind: 'authFailed'; readonly reason: string }
  /** It should log in again: a token that it has is no good any more. */
  | { readonly kind: 'sessionEnded'; readonly reason: string }
  /** It should connect again, keeping its password; `advance`: to the next address of its profile. */
  | { readonly kind: 'restart'; readonly advance: boolean; readonly reason?: string | undefined }
  /** It should end. */
  | { readonly kind: 'halt'; readonly reason: string };

export type ClosedBecause =
  /** The client said goodbye. */
  | 'exit'
  | 'pingTimeout'
  /** The device came again. */
  | 'replaced'
  | 'disconnected'
  | 'renegotiationFailed'
  /** The verdict of a renegotiation. */
  | 'refused'
  | 'failed';

/** What operators and other parts want to know. */
export type ServerEvent =
  | {
      readonly kind: 'established';
      readonly session: SessionId;
      readonly deviceId: string;
      readonly cipher: DataCipher;
      readonly format: 'v2' | 'epoch';
      readonly peerInfo: ReadonlyMap<string, string>;
      /** The record of the path that it came by. */
      readonly path: number;
    }
  | { readonly kind: 'renegotiated'; readonly session: SessionId; readonly deviceId: string }
  | {
      readonly kind: 'closed';
      readonly session: SessionId;
      readonly deviceId: string;
      readonly because: ClosedBecause;
      /** What it had carried. */
      readonly activity: SessionActivity;
    }
  /** A client was not let in: by the verdict, or because there is nothing that both speak. */
  | { readonly kind: 'refused'; readonly reason: string };

/** One client that was let in. */
export interface ClientView {
  readonly session: SessionId;
  readonly deviceId: string;
  readonly since: Instant;
  /** When the keys in use were exchanged. */
  readonly keysSince: Instant;
  readonly cipher: DataCipher;
  readonly format: 'v2' | 'epoch';
  readonly advancesBy: AdvancesBy;
}

/** Counted since the start. */
export interface ServerCounters {
  /** Answers to first packets, for which nothing is kept. */
  cookiesIssued: number;
  /** Packets without a session that prove nothing. */
  proofsFailed: number;
  /** Key exchanges that were not begun because of a limit. */
  limited: number;
  handshakesBegun: number;
  handshakesTimedOut: number;
  handshakesFailed: number;
  admitted: number;
  refused: number;
  renegotiations: number;
  pingTimeouts: number;
  exits: number;
}

export function newCounters(): ServerCounters {
  return {
    cookiesIssued: 0,
    proofsFailed: 0,
    limited: 0,
    handshakesBegun: 0,
    handshakesTimedOut: 0,
    handshakesFailed: 0,
    admitted: 0,
    refused: 0,
    renegotiations: 0,
    pingTimeouts: 0,
    exits: 0,
  };
}
