import type { Secret, SessionId } from '@sallyport/core';
import type { DataCipher } from '../data/data-sessions.ts';
import type { AuthFailure } from '../wire/control-message.ts';

/** What a server has pushed, and what was agreed on. */
export interface PushedConfiguration {
  readonly ipv4: { readonly address: string; readonly prefixLength: number } | undefined;
  readonly ipv6: { readonly address: string; readonly prefixLength: number } | undefined;
  /** `route-gateway`. */
  readonly gateway: string | undefined;
  /** The tunnel's, in bytes. */
  readonly mtu: number;
  readonly peerId: number;
  readonly cipher: DataCipher;
  readonly format: 'v2' | 'epoch';
  /** All that was pushed and taken, in order: routes, names and the rest have the grammar of a profile. */
  readonly options: readonly string[];
}

/** Why a connection is over. */
export type ClientEnding =
  | { readonly kind: 'authFailed'; readonly failure: AuthFailure }
  /** The server wants it to connect again, `advance` to the next address. */
  | { readonly kind: 'restart'; readonly advance: boolean; readonly keepPassword: boolean; readonly text: string }
  | { readonly kind: 'halt'; readonly text: string }
  | { readonly kind: 'exit' }
  /** Nothing came in time: of a key exchange, of the push reply, or at all. */
  | { readonly kind: 'timeout'; readonly phase: 'handshake' | 'push' | 'ping' }
  | { readonly kind: 'tls'; readonly text: string }
  /** What was pushed can't be done. */
  | { readonly kind: 'refusedPush'; readonly text: string }
  /** By {@link OpenVpnClient.stop}. */
  | { readonly kind: 'stopped' };

export type ClientEvent =
  | { readonly kind: 'connected'; readonly session: SessionId; readonly configuration: PushedConfiguration }
  | { readonly kind: 'renegotiated' }
  /** The user has to do something elsewhere; what, comes as `info`. */
  | { readonly kind: 'authenticationPending'; readonly timeoutSeconds: number | undefined }
  /** `WEB_AUTH:…:https://…`, `OPEN_URL:https://…`, `CR_TEXT:…`, or words for the user. */
  | { readonly kind: 'info'; readonly text: string }
  /** It is shown in place of the password from now on; a next connection may begin with it. */
  | { readonly kind: 'token'; readonly userName: string | undefined; readonly token: Secret<string> }
  /** Once; nothing comes after it. */
  | { readonly kind: 'ended'; readonly ending: ClientEnding };
