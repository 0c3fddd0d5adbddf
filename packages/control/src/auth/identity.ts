import type { Services } from '../services.ts';
import { createAuthenticator } from './authenticator.ts';
import { Challenges } from './challenges.ts';
import { CsrfTokens } from './csrf.ts';
import { LoginFailures } from './login-failures.ts';
import { DEFAULT_LOGIN_RATES, LoginLimits, type LoginRates } from './login-limits.ts';
import { DEFAULT_COST, Passwords, type PasswordCost } from './passwords.ts';
import { DEFAULT_SESSION_LIFETIME, type SessionLifetime } from './sessions.ts';

export interface IdentityOptions {
  readonly sessions?: SessionLifetime;
  readonly passwordCost?: PasswordCost;
  readonly loginRates?: LoginRates;
}

/** What routes need to know people; one for a process. */
export interface Identity {
  readonly passwords: Passwords;
  readonly limits: LoginLimits;
  readonly failures: LoginFailures;
  readonly sessions: SessionLifetime;
  readonly challenges: Challenges;
  readonly csrf: CsrfTokens;
  readonly authenticate: ReturnType<typeof createAuthenticator>;
  /** Writes what is still to be written. */
  close(): Promise<void>;
}

export async function createIdentity(services: Services, options: IdentityOptions = {}): Promise<Identity> {
  const sessions = options.sessions ?? DEFAULT_SESSION_LIFETIME;
  const failures = new LoginFailures(services);
  const csrf = await CsrfTokens.open(services.store);
  return {
    passwords: new Passwords(options.passwordCost ?? DEFAULT_COST),
    limits: new LoginLimits(options.loginRates ?? DEFAULT_LOGIN_RATES),
    failures,
    sessions,
    challenges: await Challenges.open(services),
    csrf,
    authenticate: createAuthenticator(services, sessions, csrf),
    close: () => failures.flush(),
  };
}
