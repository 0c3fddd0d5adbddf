import type { Permission } from '@sallyport/api';

/** Who sends a request. */
export interface Caller {
  readonly kind: 'anonymous' | 'session' | 'token';
  /** Empty for anonymous. */
  readonly userId: string;
  readonly userName: string;
  /** The id of the session or token. */
  readonly credentialId: string;
  readonly permissions: ReadonlySet<Permission>;
}
