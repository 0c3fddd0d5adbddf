import type { DataCipher } from '../data/data-sessions.ts';

/** What a server goes by. All can be changed while it runs; sessions keep what they began with where it was agreed on. */
export interface ServerSettings {
  /**
   * Ciphers of the data channel, preferred first. With `AES-256-CBC` among them clients come in that do not negotiate and
   * have it in their profile (with `auth SHA256`).
   */
  readonly dataCiphers: readonly DataCipher[];
  /** Whether clients that offer it get the packet format with epochs. */
  readonly epoch: boolean;
  /** The tunnel's MTU in bytes, told to clients that take one. */
  readonly tunMtu: number;
  /** A ping goes out where nothing was sent for so long: at both ends. */
  readonly pingMs: number;
  /** A client begins anew where it heard nothing for so long; the server waits twice as long before it closes a session. */
  readonly pingRestartMs: number;
  /** A key exchange must be done within this long. */
  readonly handWindowMs: number;
  /**
   * A new key is exchanged after this long; 0 for never. OpenVPN 3 goes on with the one before for a minute: it can't follow
   * where the next comes sooner.
   */
  readonly renegotiateMs: number;
  /** A new key is exchanged after so many bytes in both directions, looked at with each ping interval; 0 for never. */
  readonly renegotiateBytes: number;
  /** How long a replaced key opens what still comes sealed with it: a client may go on with it for its hand window. */
  readonly transitionMs: number;
  readonly maxSessions: number;
  /** Key exchanges in progress with clients that were not let in yet, those that wait for their user included. */
  readonly maxHandshakes: number;
  /** Key exchanges of all that may begin in {@link STARTS_WINDOW_MS}: each takes a few milliseconds. */
  readonly maxStarts: number;
  /**
   * Packets of no session that are looked at in a second: resets, and as many of those that prove an address. Whoever holds
   * no key uses them up too: that takes the thread 5 to 8 µs each, and 20 to 25 where there is one.
   */
  readonly maxArrivals: number;
  /** The same, both together, of one profile: who has one, or has seen a packet by it, leaves the others theirs. */
  readonly maxArrivalsPerProfile: number;
  /** Key exchanges in progress with one source address (IPv6: one /64). */
  readonly maxHandshakesPerSource: number;
  /** Key exchanges that one source may begin in {@link STARTS_WINDOW_MS}. */
  readonly maxStartsPerSource: number;
  /**
   * The same two for one profile, by what its tls-crypt-v2 key says, and in {@link PROFILE_STARTS_WINDOW_MS}; renegotiations
   * that its client asks for are starts.
   */
  readonly maxHandshakesPerProfile: number;
  readonly maxStartsPerProfile: number;
  /** The same two for a profile that nobody knows here, and for all of those together: they may still log in. */
  readonly maxHandshakesPerUnknown: number;
  readonly maxStartsPerUnknown: number;
  readonly maxUnknownHandshakes: number;
  readonly maxUnknownStarts: number;
  /** Clients that can't prove their address without state (version 2.5 with tls-crypt-v2), until they have. */
  readonly maxUnproven: number;
  /** The longest time that a user is given to log in elsewhere. */
  readonly maxPendingMs: number;
}

export const SERVER_SETTINGS: ServerSettings = {
  dataCiphers: ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305'],
  epoch: true,
  tunMtu: 1420,
  pingMs: 10_000,
  pingRestartMs: 60_000,
  handWindowMs: 60_000,
  renegotiateMs: 3_600_000,
  renegotiateBytes: 0,
  transitionMs: 120_000,
  maxSessions: 10_000,
  maxHandshakes: 1_000,
  maxStarts: 1_000,
  maxArrivals: 5_000,
  maxArrivalsPerProfile: 100,
  maxHandshakesPerSource: 32,
  maxStartsPerSource: 200,
  maxHandshakesPerProfile: 8,
  maxStartsPerProfile: 12,
  maxHandshakesPerUnknown: 4,
  maxStartsPerUnknown: 6,
  maxUnknownHandshakes: 500,
  maxUnknownStarts: 150,
  maxUnproven: 256,
  maxPendingMs: 300_000,
};

export const STARTS_WINDOW_MS = 10_000;
export const PROFILE_STARTS_WINDOW_MS = 30_000;
export const ARRIVALS_WINDOW_MS = 1_000;
/** Sources, and profiles, that key exchanges are counted for; beyond it new ones are refused. */
export const MAX_COUNTED = 65_536;

/** One profile may have so many clients that have not proved their address, each for so long. */
export const MAX_UNPROVEN_PER_PROFILE = 4;
export const UNPROVEN_MS = 10_000;

/** A session that was closed goes on for so long, without its data channel, to tell its client why. */
export const FAREWELL_MS = 5_000;

/** A peer that asks for new keys sooner than this after the last waits: each costs a handshake. */
export const MIN_RENEGOTIATION_SPACING_MS = 1_000;

/** Sessions whose timers are served before others get their turn. */
export const SERVICES_A_TURN = 64;

/** What a client goes by; the push reply replaces some of it. */
export interface ClientSettings {
  readonly dataCiphers: readonly DataCipher[];
  /** The cipher where the server does not negotiate. */
  readonly fallbackCipher?: DataCipher | undefined;
  readonly epoch: boolean;
  /** The tunnel's MTU in bytes where the server pushes none. */
  readonly tunMtu: number;
  /** The largest MTU that it takes from the server. */
  readonly maxMtu: number;
  readonly handWindowMs: number;
  readonly renegotiateMs: number;
  readonly renegotiateBytes: number;
  readonly transitionMs: number;
  /** 0 for none. */
  readonly pingMs: number;
  /** 0 for never. */
  readonly pingRestartMs: number;
}

export const CLIENT_SETTINGS: ClientSettings = {
  dataCiphers: ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305'],
  epoch: true,
  tunMtu: 1500,
  maxMtu: 1600,
  handWindowMs: 60_000,
  renegotiateMs: 3_600_000,
  renegotiateBytes: 0,
  transitionMs: 120_000,
  pingMs: 0,
  pingRestartMs: 120_000,
};
