/** Codes and limits of logins without a browser (RFC 8628): one screen shows a code, another one lets it in. */
import { randomInt } from 'node:crypto';
import { ApiError } from '../http/api-error.ts';
import { limitKey } from '../http/client-address.ts';
import { RateLimiter } from '../http/rate-limiter.ts';

/** How long a client waits to be let in. */
export const AUTHORIZATION_MS = 600_000;
/** How often it may ask; our own client is the only one, and people wait for it. */
export const POLL_SECONDS = 2;
/** What is added each time that it asks sooner (section 3.5), and the most that it comes to. */
export const SLOW_DOWN_SECONDS = 5;
export const MAX_POLL_SECONDS = 60;
/** Clients that wait at a time, in all and of one address (IPv6: /64). */
export const MAX_WAITING = 5000;
export const MAX_WAITING_OF_ADDRESS = 20;

/** No vowels, so that they make no words, and nothing that looks like something else (section 6.1): 20^8 codes. */
const letters = 'BCDFGHJKLMNPQRSTVWXZ';
const codeLength = 8;
const codeForm = new RegExp(`^[${letters}]{${codeLength}}$`);

export function newUserCode(): string {
  return Array.from({ length: codeLength }, () => letters[randomInt(letters.length)]).join('');
}

/** A code as somebody typed it: `bcdf ghjk` is `BCDFGHJK`. Undefined where it can be none. */
export function readUserCode(typed: string): string | undefined {
  const code = typed.toUpperCase().replaceAll(/[^A-Z0-9]/g, '');
  return codeForm.test(code) ? code : undefined;
}

/** As people read it: `BCDF-GHJK`. */
export function showUserCode(code: string): string {
  return `${code.slice(0, 4)}-${code.slice(4)}`;
}

/**
 * How often clients may begin, and codes be tried. Who guesses has ten tries and one a minute: against 5000 codes that
 * wait, of 2.6 × 10^10, a year of that finds one with a chance of ten per cent, and its client is a stranger's.
 */
export class DeviceAuthorizationLimits {
  readonly #starts = new RateLimiter({ burst: MAX_WAITING_OF_ADDRESS, perSecond: 1 / 15 });
  readonly #guessesOfUser = new RateLimiter({ burst: 10, perSecond: 1 / 60 });
  readonly #guessesOfAddress = new RateLimiter({ burst: 20, perSecond: 1 / 15 });

  /** Throws an ApiError where an address began too often. */
  takeStart(address: string, now: number): void {
    refuse(
      this.#starts.take(limitKey(address), now),
      'Too many clients began to log in from your address; wait a moment.',
    );
  }

  /** Takes a try at a code. Returns what gives it back, for when there is such a code. Throws an ApiError. */
  takeGuess(by: { readonly userId: string; readonly address: string }, now: number): () => void {
    const address = limitKey(by.address);
    const words = 'Too many codes that nobody waits with; wait a minute, and type what your client shows.';
    refuse(this.#guessesOfUser.take(by.userId, now), words);
    refuse(this.#guessesOfAddress.take(address, now), words);
    return () => {
      this.#guessesOfUser.giveBack(by.userId);
      this.#guessesOfAddress.giveBack(address);
    };
  }
}

function refuse(waitMs: number, words: string): void {
  if (waitMs > 0) throw new ApiError('tooManyRequests', words, { retryAfter: waitMs / 1000 });
}
