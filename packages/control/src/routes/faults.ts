import { ApiError } from '../http/api-error.ts';

export interface Fault {
  /** A JSON pointer into the request: `/body/groups/0`. */
  readonly at: string;
  readonly message: string;
}

const MAX_FAULTS = 100;

/** Gathers what is wrong with a request, so that all of it is said at once. */
export class Faults {
  readonly #faults: Fault[] = [];

  add(at: string, message: string): void {
    this.#faults.push({ at, message });
  }

  /** Throws the ApiError `invalidRequest` where there are faults. */
  check(): void {
    const [first] = this.#faults;
    if (first === undefined) return;
    throw new ApiError('invalidRequest', `The request is faulty: ${first.at}: ${first.message}.`, {
      faults: this.#faults.slice(0, MAX_FAULTS),
    });
  }
}
