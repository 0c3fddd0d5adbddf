import type { Secret } from '@sallyport/core';
import type { DataCipher } from '../data/data-sessions.ts';

/** Something that is wrong, or doubtful, with one line of a file; `message` says how to mend it. Never holds a key. */
export interface Remark {
  readonly line: number;
  readonly message: string;
}

export type ParsedProfile =
  | { readonly ok: true; readonly profile: OpenVpnProfile; readonly warnings: readonly Remark[] }
  | { readonly ok: false; readonly faults: readonly Remark[] };

/** Where a server is. */
export interface ProfileRemote {
  /** A name or an address. */
  readonly host: string;
  readonly port: number;
  readonly transport: 'udp' | 'tcp';
  /** Undefined: whichever the name has. */
  readonly family: 4 | 6 | undefined;
}

/** What is around the packets of the control channel. Keys are 256 bytes. */
export type ControlWrapping =
  | { readonly kind: 'none' }
  /** `direction`: 0 or 1, undefined where both ends use the key's first half (--key-direction left out). */
  | { readonly kind: 'tlsAuth'; readonly key: Secret<Uint8Array>; readonly direction: 0 | 1 | undefined }
  | { readonly kind: 'tlsCrypt'; readonly key: Secret<Uint8Array> }
  | { readonly kind: 'tlsCryptV2'; readonly key: Secret<Uint8Array>; readonly wrappedKey: Uint8Array };

export type ControlHash = 'MD5' | 'SHA1' | 'SHA256' | 'SHA512';

/** A client's profile (.ovpn), checked. Undefined where it does not say. Durations are in seconds. */
export interface OpenVpnProfile {
  /** At least one, in the order in which they are tried. */
  readonly remotes: readonly ProfileRemote[];
  readonly remoteRandom: boolean;
  /** For one server until it answers (--connect-timeout). */
  readonly connectTimeout: number | undefined;
  /** Between two rounds, and what it grows to (--connect-retry). */
  readonly connectRetry: { readonly first: number; readonly last: number } | undefined;
  /** Rounds; undefined: for ever. */
  readonly connectRetryMax: number | undefined;

  /** PEM. Without it there are {@link peerFingerprints}. */
  readonly authority: string | undefined;
  /** SHA-256 of the server's certificate, hexadecimal, any of them. */
  readonly peerFingerprints: readonly string[];
  /** PEM: the client's own, and behind it those of --extra-certs. */
  readonly certificate: string | undefined;
  /** PEM. */
  readonly key: Secret<string> | undefined;
  readonly verifyName: { readonly kind: 'subject' | 'name' | 'name-prefix'; readonly name: string } | undefined;
  /** Its certificate has to be one for servers (--remote-cert-tls server). */
  readonly serverPurpose: boolean;
  readonly tlsVersionMin: '1.2' | '1.3';
  readonly tlsVersionMax: '1.2' | '1.3' | undefined;

  readonly wrapping: ControlWrapping;
  /** Of tls-auth, and of AES-256-CBC. */
  readonly auth: ControlHash;
  /** The first is what is asked for first. */
  readonly dataCiphers: readonly DataCipher[];
  /** Where the server can't negotiate. */
  readonly fallbackCipher: DataCipher | undefined;

  /** Whether the server wants a user name and password; what of it the profile holds. */
  readonly login: { readonly userName?: string; readonly password?: Secret<string> } | undefined;
  readonly staticChallenge:
    { readonly text: string; readonly echo: boolean; readonly concatenate: boolean } | undefined;
  /** After a refusal: end, come again with the same, or ask anew. */
  readonly authRetry: 'none' | 'nointeract' | 'interact';

  readonly renegotiate: {
    readonly seconds: number | undefined;
    readonly bytes: number | undefined;
  };
  readonly handshakeWindow: number | undefined;
  readonly ping: {
    readonly every: number | undefined;
    readonly restart: number | undefined;
    readonly exit: number | undefined;
  };
  /** Further lines of the peer info: `UV_…`, by --setenv. */
  readonly peerInfo: ReadonlyMap<string, string>;
  readonly pushPeerInfo: boolean;

  /** What the profile itself says of addresses, routes and names; what the server pushes is added: {@link pulled}. */
  readonly network: NetworkSettings;
  readonly pull: {
    readonly filters: readonly PullFilter[];
    /** Routes and names that are pushed are passed over (--route-nopull). */
    readonly noRoutes: boolean;
  };
}

export interface PullFilter {
  readonly action: 'accept' | 'ignore' | 'reject';
  /** Of the option's text. */
  readonly prefix: string;
}

export interface ProfileRoute {
  /** `10.0.0.0/8`, `2001:db8::/32`. */
  readonly prefix: string;
  readonly family: 4 | 6;
  /** `vpn`: through the tunnel; `net`: by the gateway that there was before; or an address. */
  readonly gateway: string;
  readonly metric: number | undefined;
}

/** What the tunnel's interface and the machine's routes and names are to be. */
export interface NetworkSettings {
  /** With its prefix length: `10.8.0.6/24`. */
  readonly ipv4: string | undefined;
  /** The other end, where the interface is a link between two addresses. */
  readonly ipv4Peer: string | undefined;
  readonly ipv6: string | undefined;
  readonly routes: readonly ProfileRoute[];
  /** Families whose whole traffic goes through the tunnel. */
  readonly defaults: readonly (4 | 6)[];
  /** IPv6 goes nowhere while the tunnel is up. */
  readonly blockIpv6: boolean;
  /** The local network is not to be reached either. */
  readonly blockLocal: boolean;
  readonly routeMetric: number | undefined;
  readonly dnsServers: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly tunMtu: number | undefined;
  /** The largest datagram that TCP inside is to lead to; 0: off. */
  readonly mssfix: number | undefined;
}
