import { createHash } from 'node:crypto';
import { ApiError } from '../http/api-error.ts';
import { limitKey } from '../http/client-address.ts';
import { RateLimiter, type Rate } from '../http/rate-limiter.ts';

export interface LoginRates {
  /** Failures of one address (IPv6: /64). */
  readonly address: Rate;
  /** Failures for one account from clients that it doesn't know. */
  readonly account: Rate;
  /** Failures of one client that logged in to the account before. */
  readonly knownClient: Rate;
  /** Wrong codes for one account: of strangers together, of the clients that it knows together, and of its tunnels together. */
  readonly code?: Rate;
}

export const DEFAULT_LOGIN_RATES: LoginRates = {
  address: { burst: 20, perSecond: 1 / 15 },
  account: { burst: 10, perSecond: 1 / 60 },
  knownClient: { burst: 10, perSecond: 1 / 60 },
};

/** Who shows a code: a client that logged in before, another one, or a device's tunnel. */
export type CodeOrigin = 'known' | 'strange' | 'tunnel';

/** About a hundred wrong codes a day: who has the password and guesses for a year gets in with a chance of one to ten. */
const codeRate: Rate = { burst: 5, perSecond: 1 / 900 };

/**
 * How often passwords can be tried. Whoever guesses at an account uses up the tries of strangers to it, and not those of
 * the clients that logged in there before: so guessing stops and the owner still gets in. Names that nobody has are
 * counted like those that somebody has, so that the limit doesn't tell them apart.
 */
export class LoginLimits {
  readonly #address: RateLimiter;
  readonly #account: RateLimiter;
  readonly #knownClient: RateLimiter;
  readonly #code: RateLimiter;

  constructor(rates: LoginRates = DEFAULT_LOGIN_RATES) {
    this.#address = new RateLimiter(rates.address);
    this.#account = new RateLimiter(rates.account, 50_000);
    this.#knownClient = new RateLimiter(rates.knownClient);
    this.#code = new RateLimiter(rates.code ?? codeRate, 50_000);
  }

  /**
   * Takes a try before the password is looked at, so that many at once don't get more. Returns what gives it back, for
   * when the password was right. Throws an ApiError where there is none left.
   */
  take(
    by: { readonly address: string; readonly name: string; readonly knownClient: string | undefined },
    now: number,
  ): () => void {
    if (by.knownClient !== undefined) {
      const key = by.knownClient;
      refuse(this.#knownClient.take(key, now));
      return () => this.#knownClient.giveBack(key);
    }
    const address = limitKey(by.address);
    // Names can be long, or be passwords that were typed into the wrong field.
    const account = createHash('sha256').update(by.name).digest('base64');
    refuse(this.#address.take(address, now));
    refuse(this.#account.take(account, now));
    return () => {
      this.#address.giveBack(address);
      this.#account.giveBack(account);
    };
  }

  /**
   * Takes a try at a code, after the password was right. There are only a million codes, of which three count at a time,
   * so addresses and clients share the tries of an account. Who is known to it has tries that strangers don't use up, and
   * neither do those who come by a profile of one of its devices.
   */
  takeCode(by: { readonly userId: string; readonly from: CodeOrigin }, now: number): () => void {
    const key = `${by.from} ${by.userId}`;
    refuse(this.#code.take(key, now));
    return () => this.#code.giveBack(key);
  }

  /** Takes a try where no account is named: a passkey says whose it is. */
  takeAnonymous(address: string, now: number): () => void {
    const key = limitKey(address);
    refuse(this.#address.take(key, now));
    return () => this.#address.giveBack(key);
  }
}

function refuse(waitMs: number): void {
  if (waitMs === 0) return;
  throw new ApiError(
    'tooManyRequests',
    'Too many logins failed. Wait, or log in from where you logged in before; an administrator can send you a new invitation.',
    { retryAfter: waitMs / 1000 },
  );
}
