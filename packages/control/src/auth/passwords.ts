/** Passwords, kept as argon2id in the PHC string format. */
import { argon2, randomBytes, timingSafeEqual } from 'node:crypto';
import { ApiError } from '../http/api-error.ts';

export interface PasswordCost {
  readonly memoryKiB: number;
  readonly passes: number;
  readonly parallelism: number;
}

/** What OWASP's password storage cheat sheet asks of argon2id at least. */
export const DEFAULT_COST: PasswordCost = { memoryKiB: 19_456, passes: 2, parallelism: 1 };

export interface PasswordQueue {
  /** Hashes computed at once. Each takes its memory and a core. */
  readonly atOnce: number;
  /** Passwords that wait; more are refused as unavailable. */
  readonly waiting: number;
}

const saltBytes = 16;
const hashBytes = 32;

export class Passwords {
  readonly #cost: PasswordCost;
  readonly #queue: PasswordQueue;
  readonly #waiting: (() => void)[] = [];
  readonly #nobodysSalt = randomBytes(saltBytes);
  #running = 0;

  constructor(cost: PasswordCost = DEFAULT_COST, queue: PasswordQueue = { atOnce: 2, waiting: 100 }) {
    this.#cost = cost;
    this.#queue = queue;
  }

  async hash(password: string): Promise<string> {
    const salt = randomBytes(saltBytes);
    const hash = await this.#compute(password, salt, this.#cost, false);
    const { memoryKiB, passes, parallelism } = this.#cost;
    return `$argon2id$v=19$m=${memoryKiB},t=${passes},p=${parallelism}$${unpadded(salt)}$${unpadded(hash)}`;
  }

  /**
   * Whether the password is the one that was hashed; null, for a user whom there isn't, takes the same work and is false.
   * @param first it goes before all that wait
   */
  async verify(password: string, phc: string | null, first = false): Promise<boolean> {
    const parsed = phc === null ? undefined : parse(phc);
    if (parsed === undefined) {
      await this.#compute(password, this.#nobodysSalt, this.#cost, first);
      return false;
    }
    const hash = await this.#compute(password, parsed.salt, parsed.cost, first, parsed.hash.length);
    return timingSafeEqual(hash, parsed.hash);
  }

  /** Whether a hash costs less than what is asked for now, so that it is to be made anew. */
  isOutdated(phc: string): boolean {
    const cost = parse(phc)?.cost;
    return (
      cost === undefined ||
      cost.memoryKiB < this.#cost.memoryKiB ||
      cost.passes < this.#cost.passes ||
      cost.parallelism < this.#cost.parallelism
    );
  }

  async #compute(
    password: string,
    nonce: Buffer,
    { memoryKiB, passes, parallelism }: PasswordCost,
    first: boolean,
    tagLength = hashBytes,
  ): Promise<Buffer> {
    await this.#enter(first);
    try {
      return await new Promise<Buffer>((resolve, reject) => {
        // Keyboards send the same letter in different ways; NFKC makes them one.
        const message = password.normalize('NFKC');
        argon2('argon2id', { message, nonce, parallelism, tagLength, memory: memoryKiB, passes }, (error, hash) => {
          if (error === null) resolve(hash);
          else reject(error);
        });
      });
    } finally {
      this.#leave();
    }
  }

  async #enter(first: boolean): Promise<void> {
    if (this.#running < this.#queue.atOnce) {
      this.#running++;
      return;
    }
    // Who goes first still has a place when the others have filled theirs.
    if (this.#waiting.length >= this.#queue.waiting * (first ? 2 : 1)) {
      throw new ApiError('unavailable', 'Too many passwords are being checked now; try again in a moment.', {
        retryAfter: 2,
      });
    }
    await new Promise<void>((resolve) => {
      if (first) this.#waiting.unshift(resolve);
      else this.#waiting.push(resolve);
    });
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#running--;
    else next();
  }
}

function unpadded(bytes: Buffer): string {
  return bytes.toString('base64').replace(/=+$/, '');
}

function parse(phc: string): { readonly cost: PasswordCost; readonly salt: Buffer; readonly hash: Buffer } | undefined {
  const match = /^\$argon2id\$v=19\$m=(\d{1,8}),t=(\d{1,3}),p=(\d{1,3})\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(phc);
  if (match === null) return undefined;
  const [memoryKiB, passes, parallelism] = match.slice(1, 4).map(Number) as [number, number, number];
  return {
    cost: { memoryKiB, passes, parallelism },
    salt: Buffer.from(match[4], 'base64'),
    hash: Buffer.from(match[5], 'base64'),
  };
}
