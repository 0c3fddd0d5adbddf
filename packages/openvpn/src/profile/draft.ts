import type { Secret } from '@sallyport/core';
import type { DataCipher } from '../data/data-sessions.ts';
import { newNetworkDraft } from './network-options.ts';
import type { ControlHash, ControlWrapping, OpenVpnProfile, PullFilter } from './profile.ts';

/** What holds for servers that don't say otherwise themselves. */
export interface EndpointDefaults {
  port: number;
  transport: 'udp' | 'tcp';
  family: 4 | 6 | undefined;
}

/** A server as it was written: what is undefined comes from the defaults. */
export interface RemoteDraft {
  readonly line: number;
  readonly host: string;
  readonly port: number | undefined;
  readonly protocol: Protocol | undefined;
  /** Those of its `<connection>` block; outside of one those that the file ends with. */
  readonly defaults: EndpointDefaults;
}

export interface Protocol {
  readonly transport: 'udp' | 'tcp';
  readonly family: 4 | 6 | undefined;
}

/** A profile that is still being read. */
export class ProfileDraft {
  /** Where options are in a `<connection>` block, that block's. */
  endpoint: EndpointDefaults = { port: 1194, transport: 'udp', family: undefined };
  readonly remotes: RemoteDraft[] = [];
  /** Whether it says that it is a client's: client, or tls-client and pull. */
  client = false;
  tlsClient = false;
  pulls = false;
  remoteRandom = false;
  connectTimeout: number | undefined;
  connectRetry: OpenVpnProfile['connectRetry'];
  connectRetryMax: number | undefined;

  authority: string | undefined;
  readonly peerFingerprints: string[] = [];
  certificate: string | undefined;
  extraCertificates = '';
  key: Secret<string> | undefined;
  verifyName: OpenVpnProfile['verifyName'];
  serverPurpose = false;
  tlsVersionMin: '1.2' | '1.3' = '1.2';
  tlsVersionMax: '1.2' | '1.3' | undefined;

  wrapping: ControlWrapping = { kind: 'none' };
  wrappingLine = 0;
  keyDirection: 0 | 1 | undefined;
  auth: ControlHash = 'SHA1';
  dataCiphers: DataCipher[] | undefined;
  /** Of --cipher: it comes behind those of --data-ciphers. */
  cipher: DataCipher | undefined;
  fallbackCipher: DataCipher | undefined;

  login: OpenVpnProfile['login'];
  staticChallenge: OpenVpnProfile['staticChallenge'];
  authRetry: OpenVpnProfile['authRetry'] = 'none';

  readonly renegotiate: { seconds?: number; bytes?: number } = {};
  handshakeWindow: number | undefined;
  readonly ping: { every?: number; restart?: number; exit?: number } = {};
  readonly peerInfo = new Map<string, string>();
  pushPeerInfo = false;

  readonly network = newNetworkDraft();
  readonly filters: PullFilter[] = [];
  noRoutes = false;

  /** Names that may be unknown (--ignore-unknown-option), or all (--setenv FORWARD_COMPATIBLE 1). */
  readonly ignorable = new Set<string>();
  forwardCompatible = false;
}

/** How an option says what is wrong with it, and gets at what its block or file holds. */
export interface OptionContext {
  readonly line: number;
  /** Whether it stands in a `<connection>` block. */
  readonly inConnection: boolean;
  readonly block: string | undefined;
  readonly fault: (message: string) => void;
  readonly warn: (message: string) => void;
  /** The text of its block, or of the file that its first word names; undefined where that is a fault. */
  readonly content: (args: readonly string[]) => string | undefined;
}

export interface ProfileOption {
  /** How many words follow its name, at least and at most. */
  readonly words: readonly [number, number];
  /** It may be written as a block: `<ca>`. */
  readonly block?: true;
  /** It may stand in a `<connection>` block. */
  readonly perConnection?: true;
  readonly take: (draft: ProfileDraft, args: readonly string[], context: OptionContext) => void;
}
