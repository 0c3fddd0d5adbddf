/** What is known of a login on its way. */
export interface Transaction {
  readonly providerId: string;
  readonly state: string;
  readonly nonce: string;
  readonly codeVerifier: string;
  readonly returnTo: string;
  /** Unix milliseconds. */
  readonly startedAt: number;
  /**
   * The session whose user proves again that it is them. The provider's redirect comes from another site, so that the
   * session's cookie, which is Strict, is not there when the browser comes back. That this names the session is what ties
   * them: it was written where the cookie was, and nobody else can write it.
   */
  readonly stepUp?: { readonly sessionId: string; readonly userId: string };
}
