import type { TokenScope } from '@sallyport/api';
import type { SessionKind } from '../auth/sessions.ts';

/** Who sends a request. */
export interface Caller {
  readonly kind: 'anonymous' | 'session' | 'token';
  /** Empty for anonymous. */
  readonly userId: string;
  readonly userName: string;
  /** The id of the session or token. */
  readonly credentialId: string;
  /** What this credential may do now; `self` among them where it may do what every user may with their own. */
  readonly permissions: ReadonlySet<TokenScope | 'enrol'>;
  /** Where it is a session. */
  readonly session?: CallerSession;
}

/** How the user of a session proved that it is them. */
export interface CallerSession {
  /** A client's may call the routes alone whose contract says so. */
  readonly kind: SessionKind;
  /** The device that the client made; null where it has none yet, and for logins. */
  readonly deviceId: string | null;
  readonly methods: readonly string[];
  /** Unix milliseconds of the last time. */
  readonly authenticatedAt: number;
  /** The identity provider that it came by. */
  readonly providerId: string | null;
  /** It lacks a second factor that a group demands: `enrol` is all that it may do. */
  readonly mustEnrol: boolean;
}

export const ANONYMOUS: Caller = {
  kind: 'anonymous',
  userId: '',
  userName: '',
  credentialId: '',
  permissions: new Set(),
};

/** A caller and what it proved itself with. */
export interface Authenticated {
  readonly caller: Caller;
  /** The credential itself, for keys that only who holds it can make; empty for anonymous. */
  readonly secret: string;
  /** It came by cookie, which browsers send by themselves. */
  readonly byCookie: boolean;
}

/** Who shows no credential. */
export const NOBODY: Authenticated = { caller: ANONYMOUS, secret: '', byCookie: false };
