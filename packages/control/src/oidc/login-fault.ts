import type { LoginProblem } from '@sallyport/api';

/** Ends a login by a provider: `problem` goes to the page, the rest to the log. No secrets, codes or tokens in `detail`. */
export class LoginFault extends Error {
  readonly problem: LoginProblem;
  /** The user, where the provider showed who it is. */
  readonly user: { readonly id: string; readonly name: string } | undefined;

  constructor(problem: LoginProblem, detail: string, more: { cause?: unknown; user?: LoginFault['user'] } = {}) {
    super(detail, more.cause === undefined ? {} : { cause: more.cause });
    this.name = 'LoginFault';
    this.problem = problem;
    this.user = more.user;
  }
}
