import type { TokenScope } from '@sallyport/api';

/** Who sends a request. */
export interface Caller {
  readonly kind: 'anonymous' | 'session' | 'token';
  /** Empty for anonymous. */
  readonly userId: string;
  readonly userName: string;
  /** The id of the session or token. */
  readonly credentialId: string;
  /** What this credential may do now; `self` among them where it may do what every user may with their own. */
  readonly permissions: ReadonlySet<TokenScope>;
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
