/**
 * TLS over the reliable layer, from whoever composes the program. It works in its own time: what comes out of a call, or of
 * several, is told later as a {@link TlsOutput} with the session's number.
 */
export interface TlsEngine {
  /** `id` is the caller's own name for it. */
  open(id: number): TlsSession;
}

export interface TlsSession {
  /** Records that came from the peer. */
  receive(records: Uint8Array): void;
  /** Plaintext for the peer. */
  send(plaintext: Uint8Array): void;
  /** Keying material (RFC 5705) without context; only once it is `secure`. */
  exportKey(label: string, bytes: number): Uint8Array;
  /** Nothing is told of it after this. */
  close(): void;
}

export type TlsOutput =
  /** Records for the peer. */
  | { readonly kind: 'records'; readonly bytes: Uint8Array }
  /** The handshake is done; `certificate` is the peer's (DER) where it showed one that the authority vouches for. */
  | { readonly kind: 'secure'; readonly certificate: Uint8Array | undefined }
  | { readonly kind: 'plaintext'; readonly bytes: Uint8Array }
  /** The handshake or a record failed, or the peer closed it. No more comes. */
  | { readonly kind: 'ended'; readonly reason: string };
