import type { Services } from '../services.ts';
import type { Origin } from '../store/store.ts';

export interface LoginFailure {
  /** Undefined where nobody has the name that was given. That name may be a password in the wrong field: it is not kept. */
  readonly user: { readonly id: string; readonly name: string } | undefined;
  readonly why: 'password' | 'code' | 'passkey' | 'provider' | 'disabled' | 'unknown';
  readonly origin: Origin;
}

/** Kinds of failures told apart until the next writing; what goes beyond is counted together. */
const maxKinds = 500;

/**
 * Takes failed logins to the audit log, a moment later and those of a kind as one entry with their number. So nobody
 * fills the log by guessing, and the answer to a failed login takes the same time whether there is such a user or not.
 */
export class LoginFailures {
  readonly #services: Services;
  readonly #delayMs: number;
  readonly #kinds = new Map<string, { failure: LoginFailure; count: number }>();
  #timer: NodeJS.Timeout | undefined;
  #writing: Promise<void> = Promise.resolve();

  constructor(services: Services, delayMs = 1000) {
    this.#services = services;
    this.#delayMs = delayMs;
  }

  add(failure: LoginFailure): void {
    let key = JSON.stringify([failure.user?.id, failure.why, failure.origin.via, failure.origin.address]);
    if (!this.#kinds.has(key) && this.#kinds.size >= maxKinds) key = 'others';
    const kind = this.#kinds.get(key);
    if (kind !== undefined) kind.count++;
    else if (key !== 'others') this.#kinds.set(key, { failure, count: 1 });
    else {
      const others: LoginFailure = { user: undefined, why: 'unknown', origin: { ...failure.origin, address: null } };
      this.#kinds.set(key, { failure: others, count: 1 });
    }
    this.#timer ??= setTimeout(() => void this.flush(), this.#delayMs).unref();
  }

  /** Writes what there is; for the end of the process, too. Never rejects. */
  flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const kinds = [...this.#kinds.values()];
    this.#kinds.clear();
    if (kinds.length > 0) this.#writing = this.#writing.then(() => this.#write(kinds));
    return this.#writing;
  }

  async #write(kinds: readonly { readonly failure: LoginFailure; readonly count: number }[]): Promise<void> {
    const { store, log } = this.#services;
    for (const { failure, count } of kinds) {
      try {
        await store.write(failure.origin, ({ audit }) =>
          audit(
            'login.fail',
            { kind: 'user', id: failure.user?.id ?? null, name: failure.user?.name ?? '(no such user)' },
            undefined,
            { why: failure.why, attempts: count },
          ),
        );
      } catch (error) {
        log.error({ err: error, attempts: count }, 'failed logins could not be written to the audit log');
      }
    }
  }
}
