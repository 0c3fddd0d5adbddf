import type { Secret } from '@sallyport/core';
import type { IpPrefix, Variant } from '@sallyport/wireguard';

/** A wg-quick configuration file, checked. Undefined where the file does not say. */
export interface WgQuickConfig {
  readonly privateKey: Secret<Uint8Array> | undefined;
  readonly listenPort: number | undefined;
  /** 0 is off. */
  readonly fwmark: number | undefined;
  /** AmneziaWG's keys: what the device speaks; WireGuard's own for a key that is not there. */
  readonly variant: Variant | undefined;
  /** With the bits behind the prefix length: they are the interface's own address. */
  readonly addresses: readonly IpPrefix[];
  readonly dnsServers: readonly string[];
  readonly dnsSearch: readonly string[];
  readonly mtu: number | undefined;
  /** `auto`, `off`, or the table's number or name. */
  readonly table: string | undefined;
  readonly preUp: readonly string[];
  readonly postUp: readonly string[];
  readonly preDown: readonly string[];
  readonly postDown: readonly string[];
  readonly saveConfig: boolean;
  readonly peers: readonly PeerConfig[];
}

export interface PeerConfig {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Secret<Uint8Array> | undefined;
  /** Bits behind the prefix length are zero. */
  readonly allowedIps: readonly IpPrefix[];
  readonly endpoint: EndpointConfig | undefined;
  /** Seconds; 0 is off. */
  readonly persistentKeepalive: number | undefined;
}

/** `host` is an address, one with a zone, or a name that is still to be resolved. */
export interface EndpointConfig {
  readonly host: string;
  readonly port: number;
  /** The line that it is on. */
  readonly line: number;
}

/** Something that is wrong, or doubtful, with one line of a file; `message` says how to mend it. Never holds a key. */
export interface Remark {
  readonly line: number;
  readonly message: string;
}

export type ParsedConfig =
  | { readonly ok: true; readonly config: WgQuickConfig; readonly warnings: readonly Remark[] }
  | { readonly ok: false; readonly faults: readonly Remark[] };
