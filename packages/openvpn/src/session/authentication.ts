import type { Secret } from '@sallyport/core';

/** A client whose TLS stands and who has said who it is: may it come in? */
export interface AuthenticationRequest {
  /** What the answer is given for. */
  readonly id: number;
  /** What the tls-crypt-v2 key of its profile says, its type first, or undefined where it has no such key. */
  readonly profile: Uint8Array | undefined;
  /** DER, verified against the authority. */
  readonly certificate: Uint8Array | undefined;
  readonly userName: string | undefined;
  /** The password, or the token that stands for it; what was joined to it is in `response` and `challengeState`. */
  readonly password: Secret<string> | undefined;
  /** What the user answered to the static challenge of the profile, or to a dynamic one. */
  readonly response: Secret<string> | undefined;
  /** Set where `response` answers a challenge of an earlier verdict: the state that it had. */
  readonly challengeState: string | undefined;
  /** What the client says of itself: `IV_VER`, `IV_PLAT`, `IV_SSO`, … */
  readonly peerInfo: ReadonlyMap<string, string>;
  /** The record of the path that it came by; its bytes are good for the time of the call. */
  readonly path: number;
  /** Set where a session that was let in renegotiates: whom it was let in as. */
  readonly renewing: string | undefined;
}

export type Verdict =
  | {
      readonly kind: 'admit';
      readonly deviceId: string;
      readonly ipv4: string;
      readonly ipv6: string | undefined;
      /** Lines of the push reply beside those that the protocol makes itself (addresses, peer id, cipher, pings). */
      readonly push: readonly string[];
      /** What the client shows in place of its password from now on. */
      readonly token?: Secret<string> | undefined;
    }
  | {
      readonly kind: 'refuse';
      /** Shown to the client's user behind `AUTH_FAILED,`: what is wrong and what to do. May be empty. */
      readonly reason: string;
      /** The client should come again by itself after this long. */
      readonly retryAfterSeconds?: number | undefined;
      /** … to the next server of its profile. */
      readonly elsewhere?: boolean | undefined;
      /** Ask for this in a new connection (dynamic challenge). */
      readonly challenge?: { readonly state: string; readonly text: string; readonly echo: boolean } | undefined;
      /** The token that it showed is no good; it should ask for the password. */
      readonly sessionEnded?: boolean | undefined;
    }
  /** It takes the user some time: `info` is sent as INFO_PRE (`WEB_AUTH::https://…`, `OPEN_URL:…`); a verdict follows. */
  | { readonly kind: 'pending'; readonly timeoutSeconds: number; readonly info: string };
