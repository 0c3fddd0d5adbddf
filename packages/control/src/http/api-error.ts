import { PROBLEMS, type Problem, type ProblemCode } from '@sallyport/api';

/** Thrown by whatever serves a request; answered as problem+json. `detail` is for the caller: no secrets, no internals. */
export class ApiError extends Error {
  readonly code: ProblemCode;
  readonly detail: string;
  readonly more: Pick<Problem, 'faults' | 'tests' | 'methods'>;
  /** Seconds, for Retry-After. */
  readonly retryAfter: number | undefined;

  constructor(
    code: ProblemCode,
    detail: string,
    more: Pick<Problem, 'faults' | 'tests' | 'methods'> & { readonly retryAfter?: number } = {},
  ) {
    super(`${code}: ${detail}`);
    this.name = 'ApiError';
    this.code = code;
    this.detail = detail;
    const { retryAfter, ...rest } = more;
    this.more = rest;
    this.retryAfter = retryAfter;
  }

  get status(): number {
    return PROBLEMS[this.code][0];
  }
}
