import type { Instant } from '@sallyport/core';
import { Quotas, startIn, type Place } from './quotas.ts';
import {
  ARRIVALS_WINDOW_MS,
  MAX_UNPROVEN_PER_PROFILE,
  PROFILE_STARTS_WINDOW_MS,
  STARTS_WINDOW_MS,
  type ServerSettings,
} from './settings.ts';

/** What counts of a client: where it comes from, and what its tls-crypt-v2 key says. */
export interface Newcomer {
  readonly source: string;
  readonly profile: Uint8Array | undefined;
}

/** Gives back what was taken. */
export type Release = () => void;

/**
 * Who may begin a key exchange: so many of all, of one source, and of one profile, which whoever has the file can use from
 * everywhere, a device that was removed too. Profiles that nobody knows share a quota of their own beside it.
 */
export class Admission {
  readonly #settings: () => ServerSettings;
  readonly #knows: ((profile: Uint8Array) => boolean) | undefined;
  readonly #all = new Quotas(STARTS_WINDOW_MS);
  readonly #sources = new Quotas(STARTS_WINDOW_MS);
  readonly #profiles = new Quotas(PROFILE_STARTS_WINDOW_MS);
  readonly #unknown = new Quotas(PROFILE_STARTS_WINDOW_MS);
  readonly #unproven = new Quotas(STARTS_WINDOW_MS);
  readonly #arrivals = new Quotas(ARRIVALS_WINDOW_MS);

  constructor(settings: () => ServerSettings, knows: ((profile: Uint8Array) => boolean) | undefined) {
    this.#settings = settings;
    this.#knows = knows;
  }

  /** Whether a packet of no session goes further, which is authentic by its profile and no more. */
  arrives(profile: Uint8Array | undefined, now: Instant): boolean {
    if (profile === undefined) return true;
    const limits = { handshakes: Infinity, starts: this.#settings().maxArrivalsPerProfile };
    return counts([{ quotas: this.#arrivals, key: profileKey(profile), limits }], now);
  }

  /** For a client that has proved its address. Undefined where a limit is reached. */
  take({ source, profile }: Newcomer, now: Instant): Release | undefined {
    const { maxStarts, maxHandshakesPerSource: handshakes, maxStartsPerSource: starts } = this.#settings();
    const one: Place = { quotas: this.#sources, key: source, limits: { handshakes, starts } };
    const all: Place = { quotas: this.#all, key: '', limits: { handshakes: Infinity, starts: maxStarts } };
    // Who is refused by a limit of its own uses up none of the others'.
    return startIn([one, ...this.#placesOf(profile), all], now);
  }

  /** For a client that has proved nothing but that it has a profile: nothing is counted that another could be hurt by. */
  takeUnproven({ profile }: Newcomer, now: Instant): Release | undefined {
    const all = { handshakes: this.#settings().maxUnproven, starts: Infinity };
    const one = { handshakes: MAX_UNPROVEN_PER_PROFILE, starts: Infinity };
    return startIn(
      [
        { quotas: this.#unproven, key: '', limits: all },
        { quotas: this.#unproven, key: `of ${profileKey(profile)}`, limits: one },
      ],
      now,
    );
  }

  /** Counts the start of a renegotiation that a client asks for. */
  renegotiates(profile: Uint8Array | undefined, now: Instant): boolean {
    return counts(this.#placesOf(profile), now);
  }

  #placesOf(profile: Uint8Array | undefined): Place[] {
    if (profile === undefined) return [];
    const settings = this.#settings();
    const key = profileKey(profile);
    if (this.#knows?.(profile) !== false) {
      const { maxHandshakesPerProfile: handshakes, maxStartsPerProfile: starts } = settings;
      return [{ quotas: this.#profiles, key, limits: { handshakes, starts } }];
    }
    const { maxHandshakesPerUnknown, maxStartsPerUnknown, maxUnknownHandshakes, maxUnknownStarts } = settings;
    const one = { handshakes: maxHandshakesPerUnknown, starts: maxStartsPerUnknown };
    const all = { handshakes: maxUnknownHandshakes, starts: maxUnknownStarts };
    return [
      { quotas: this.#profiles, key, limits: one },
      { quotas: this.#unknown, key: '', limits: all },
    ];
  }
}

/** Counts a start that is over at once. */
function counts(places: readonly Place[], now: Instant): boolean {
  const release = startIn(places, now);
  release?.();
  return release !== undefined;
}

/** A profile as the key of a map. */
export function profileKey(profile: Uint8Array | undefined): string {
  return String.fromCharCode(...(profile ?? []));
}
