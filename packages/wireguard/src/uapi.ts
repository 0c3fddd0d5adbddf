import { Secret, type Listener } from '@sallyport/core';
import type { IpFamily, IpPrefix } from './ip-address.ts';
import { maskAddress, parseDecimal, parseIpAddress, parseIpPrefix } from './ip-address.ts';
import { decodeHexKey } from './key-text.ts';
import { PLAIN_VARIANT, VARIANT_KEYS, VARIANT_LIMITS, type Variant, type VariantKey } from './variant.ts';

/**
 * Where a peer is reached, and by which of the device's listeners (by default the first). `scope` is the zone of a
 * link-local IPv6 address as written (`eth0`, `2`), or ''.
 */
export interface Endpoint {
  readonly family: IpFamily;
  readonly address: Uint8Array;
  readonly port: number;
  readonly scope: string;
  readonly listener?: Listener;
}

/** An allowed IP that a peer gets, or loses. Bits behind the prefix length are zero. */
export interface AllowedIpChange extends IpPrefix {
  readonly remove: boolean;
}

/** What a `set=1` request asks of one peer. What is undefined stays as it is; a preshared key of zeros means none. */
export interface PeerChange {
  readonly publicKey: Uint8Array;
  readonly remove: boolean;
  /** Do nothing where there is no such peer. */
  readonly updateOnly: boolean;
  readonly presharedKey: Secret<Uint8Array> | undefined;
  readonly endpoint: Endpoint | undefined;
  /** Seconds; 0 is off. */
  readonly persistentKeepalive: number | undefined;
  /** Forget the allowed IPs that it has before `allowedIps` are taken in, in order. */
  readonly replaceAllowedIps: boolean;
  readonly allowedIps: readonly AllowedIpChange[];
}

/** What a `set=1` request asks of a device. What is undefined stays as it is; a private key of zeros means none. */
export interface DeviceChange {
  readonly privateKey: Secret<Uint8Array> | undefined;
  /** 0 lets the kernel choose. */
  readonly listenPort: number | undefined;
  /** 0 is none. */
  readonly fwmark: number | undefined;
  /** What the first listener speaks; keys that are not named stay. */
  readonly variant?: Partial<Variant>;
  /** Remove the peers that it has before `peers` are taken in, in order. */
  readonly replacePeers: boolean;
  readonly peers: readonly PeerChange[];
}

/** Changes that change nothing, to be spread into ones that do. */
export const UNCHANGED_DEVICE: DeviceChange = {
  privateKey: undefined,
  listenPort: undefined,
  fwmark: undefined,
  replacePeers: false,
  peers: [],
};
export const UNCHANGED_PEER: Omit<PeerChange, 'publicKey'> = {
  remove: false,
  updateOnly: false,
  presharedKey: undefined,
  endpoint: undefined,
  persistentKeepalive: undefined,
  replaceAllowedIps: false,
  allowedIps: [],
};

/** What {@link UapiDecoder.push} makes of a client's bytes. */
export type UapiRequest =
  | { readonly kind: 'get' }
  | { readonly kind: 'set'; readonly change: DeviceChange }
  /** Answer with `errno`; where `close` is true what follows can't be told apart any more: close the connection. */
  | { readonly kind: 'invalid'; readonly errno: number; readonly reason: string; readonly close: boolean };

export const EINVAL = 22;
export const EPROTO = 71;
export const E2BIG = 7;

/** The longest line: a key's name and 64 digits, or an endpoint with a zone. */
const MAX_LINE_BYTES = 256;
/**
 * The longest request: as many peers as a device takes, with an endpoint, a preshared key and two allowed IPs each.
 * While it is taken in it needs up to fifteen times as much memory.
 */
const MAX_REQUEST_BYTES = 48 * 1024 * 1024;
const MAX_ZONE_LENGTH = 15;

const LINE_FEED = 10;
const EQUALS = 61;

type Writable<T> = { -readonly [Key in keyof T]: T[Key] };
type OpenPeer = Writable<PeerChange> & { allowedIps: AllowedIpChange[] };
type OpenChange = Writable<DeviceChange> & { peers: OpenPeer[]; variant?: Partial<Writable<Variant>> };

/**
 * Decodes the requests of one connection of the cross-platform userspace protocol
 * (https://www.wireguard.com/xplatform/), line by line as their bytes come. A request with a fault is read to its
 * end and answered by an errno, and nothing of it is applied; faults are named without the values, which may be keys.
 */
export class UapiDecoder {
  #state: 'idle' | 'get' | 'set' | 'failed' | 'closed' = 'idle';
  #change: OpenChange = newChange();
  #peer: OpenPeer | undefined;
  #requestBytes = 0;
  #lineNumber = 0;
  #errno = 0;
  #reason = '';
  readonly #partial = new Uint8Array(MAX_LINE_BYTES);
  #partialLength = 0;

  /** Whether a request has begun and its end is still to come. */
  get midway(): boolean {
    return this.#requestBytes > 0 || this.#partialLength > 0;
  }

  /** Takes the next bytes of the connection and returns the requests that they complete. */
  push(chunk: Uint8Array): UapiRequest[] {
    const requests: UapiRequest[] = [];
    let from = 0;
    while (from < chunk.length && this.#state !== 'closed') {
      const end = chunk.indexOf(LINE_FEED, from);
      const stop = end < 0 ? chunk.length : end;
      const whole = end >= 0 && this.#partialLength === 0;
      if (this.#partialLength + stop - from > MAX_LINE_BYTES) {
        this.#close(requests, EINVAL, `a line is longer than ${String(MAX_LINE_BYTES)} bytes`);
      } else if (whole) {
        this.#line(chunk, from, stop, requests);
      } else {
        this.#partial.set(chunk.subarray(from, stop), this.#partialLength);
        this.#partialLength += stop - from;
        if (end >= 0) {
          const length = this.#partialLength;
          this.#partialLength = 0;
          this.#line(this.#partial, 0, length, requests);
          this.#partial.fill(0);
        }
      }
      from = stop + 1;
    }
    return requests;
  }

  #line(text: Uint8Array, from: number, to: number, requests: UapiRequest[]): void {
    this.#lineNumber++;
    this.#requestBytes += to - from + 1;
    if (this.#requestBytes > MAX_REQUEST_BYTES) {
      this.#close(requests, E2BIG, `a request is longer than ${String(MAX_REQUEST_BYTES)} bytes`);
    } else if (from === to) {
      this.#end(requests);
    } else if (this.#state === 'idle') {
      const operation = ascii(text, from, to);
      if (operation === 'get=1') this.#state = 'get';
      else if (operation === 'set=1') this.#state = 'set';
      else this.#close(requests, EINVAL, 'the operation is neither get=1 nor set=1');
    } else if (this.#state === 'get') {
      this.#close(requests, EINVAL, 'get=1 is followed by something else than an empty line');
    } else if (this.#state === 'set') {
      const equals = text.indexOf(EQUALS, from);
      if (equals < 0 || equals >= to) this.#fail(EPROTO, 'no "="');
      else this.#assign(text, from, equals, to);
    }
  }

  /** An empty line ends a request; before one it means nothing. */
  #end(requests: UapiRequest[]): void {
    if (this.#state === 'get') requests.push({ kind: 'get' });
    else if (this.#state === 'set') requests.push({ kind: 'set', change: this.#change });
    else if (this.#state === 'failed') {
      requests.push({ kind: 'invalid', errno: this.#errno, reason: this.#reason, close: false });
    }
    this.#reset('idle');
  }

  #fail(errno: number, reason: string): void {
    this.#state = 'failed';
    this.#errno = errno;
    this.#reason = `line ${String(this.#lineNumber)}: ${reason}`;
    this.#change = newChange();
    this.#peer = undefined;
  }

  #close(requests: UapiRequest[], errno: number, reason: string): void {
    requests.push({ kind: 'invalid', errno, reason, close: true });
    this.#reset('closed');
    this.#partial.fill(0);
    this.#partialLength = 0;
  }

  #reset(state: 'idle' | 'closed'): void {
    this.#state = state;
    this.#change = newChange();
    this.#peer = undefined;
    this.#requestBytes = 0;
    this.#lineNumber = 0;
  }

  #assign(text: Uint8Array, from: number, equals: number, to: number): void {
    const name = nameAt(text, from, equals);
    if (name === 'public_key') {
      const publicKey = decodeHexKey(text, equals + 1, to);
      if (publicKey === undefined) {
        this.#fail(EINVAL, 'public_key is not 64 hexadecimal digits');
        return;
      }
      this.#peer = newPeer(publicKey);
      this.#change.peers.push(this.#peer);
      return;
    }
    const valid =
      this.#peer === undefined
        ? assignDevice(this.#change, name, text, equals + 1, to)
        : assignPeer(this.#peer, name, text, equals + 1, to);
    if (valid === undefined) this.#fail(EINVAL, 'the key is unknown, or out of its place');
    else if (!valid) this.#fail(EINVAL, `${name} has an invalid value`);
  }
}

/** Sets one key of a device; false where its value is invalid, undefined where there is no such key. */
function assignDevice(
  change: OpenChange,
  name: string,
  text: Uint8Array,
  from: number,
  to: number,
): boolean | undefined {
  switch (name) {
    case 'private_key': {
      const key = decodeHexKey(text, from, to);
      change.privateKey = key && new Secret(key);
      return key !== undefined;
    }
    case 'listen_port':
      change.listenPort = parseDecimal(ascii(text, from, to), 0xffff);
      return change.listenPort !== undefined;
    case 'fwmark':
      change.fwmark = from === to ? 0 : parseDecimal(ascii(text, from, to), 0xffff_ffff);
      return change.fwmark !== undefined;
    case 'replace_peers':
      change.replacePeers = true;
      return isTrue(text, from, to);
    default:
      return assignVariant(change, name as VariantKey, text, from, to);
  }
}

/** AmneziaWG's keys: sizes and numbers, which are checked together when they are applied. */
function assignVariant(
  change: OpenChange,
  name: VariantKey,
  text: Uint8Array,
  from: number,
  to: number,
): boolean | undefined {
  if (!VARIANT_KEYS.includes(name)) return undefined;
  const value = parseDecimal(ascii(text, from, to), VARIANT_LIMITS[name]);
  if (value === undefined) return false;
  // As with amneziawg-go, a type word that is WireGuard's means its own default.
  const isType = name.startsWith('h');
  (change.variant ??= {})[name] = isType && value <= 4 ? PLAIN_VARIANT[name] : value;
  return true;
}

/** Sets one key of a peer; false where its value is invalid, undefined where there is no such key. */
function assignPeer(peer: OpenPeer, name: string, text: Uint8Array, from: number, to: number): boolean | undefined {
  switch (name) {
    case 'allowed_ip': {
      const remove = text[from] === 45;
      const prefix = parseIpPrefix(ascii(text, remove ? from + 1 : from, to));
      if (prefix === undefined) return false;
      const { family, address, prefixLength } = prefix;
      maskAddress(address, prefixLength);
      peer.allowedIps.push({ family, address, prefixLength, remove });
      return true;
    }
    case 'endpoint':
      peer.endpoint = parseEndpoint(ascii(text, from, to));
      return peer.endpoint !== undefined;
    case 'preshared_key': {
      const key = decodeHexKey(text, from, to);
      peer.presharedKey = key && new Secret(key);
      return key !== undefined;
    }
    case 'persistent_keepalive_interval':
      peer.persistentKeepalive = parseDecimal(ascii(text, from, to), 0xffff);
      return peer.persistentKeepalive !== undefined;
    case 'replace_allowed_ips':
      peer.replaceAllowedIps = true;
      peer.allowedIps = [];
      return isTrue(text, from, to);
    case 'remove':
      peer.remove = true;
      return isTrue(text, from, to);
    case 'update_only':
      peer.updateOnly = true;
      return isTrue(text, from, to);
    case 'protocol_version':
      return to - from === 1 && text[from] === 49;
    default:
      return undefined;
  }
}

/** Parses `1.2.3.4:5`, `[2001:db8::1]:5` or `[fe80::1%eth0]:5`; port 0 is not taken. */
export function parseEndpoint(text: string): Endpoint | undefined {
  const colon = text.lastIndexOf(':');
  const port = parseDecimal(text.slice(colon + 1), 0xffff);
  if (colon < 1 || port === undefined || port === 0) return undefined;
  const bracketed = text.charCodeAt(0) === 91;
  if (bracketed && text.charCodeAt(colon - 1) !== 93) return undefined;
  const host = bracketed ? text.slice(1, colon - 1) : text.slice(0, colon);
  const percent = host.indexOf('%');
  const scope = percent < 0 ? '' : host.slice(percent + 1);
  const ip = parseIpAddress(percent < 0 ? host : host.slice(0, percent));
  if (ip === undefined || (ip.family === 6) !== bracketed) return undefined;
  if (percent >= 0 && (!bracketed || scope.length > MAX_ZONE_LENGTH || !/^[!-~]+$/.test(scope))) return undefined;
  return { family: ip.family, address: ip.address, port, scope };
}

function newChange(): OpenChange {
  return { privateKey: undefined, listenPort: undefined, fwmark: undefined, replacePeers: false, peers: [] };
}

function newPeer(publicKey: Uint8Array): OpenPeer {
  return {
    publicKey,
    remove: false,
    updateOnly: false,
    presharedKey: undefined,
    endpoint: undefined,
    persistentKeepalive: undefined,
    replaceAllowedIps: false,
    allowedIps: [],
  };
}

const NAMES = [
  'private_key',
  'listen_port',
  'fwmark',
  'replace_peers',
  'public_key',
  'allowed_ip',
  'endpoint',
  'preshared_key',
  'persistent_keepalive_interval',
  'replace_allowed_ips',
  'remove',
  'update_only',
  'protocol_version',
  ...VARIANT_KEYS,
];

/** The names by their length. Looking one up makes no string: a large request has a million lines. */
const NAMES_BY_LENGTH = Array.from({ length: 32 }, (_, length) => NAMES.filter((name) => name.length === length));

/** The name of the key at `text[from..to]`, or '' where there is none such. */
function nameAt(text: Uint8Array, from: number, to: number): string {
  for (const name of NAMES_BY_LENGTH[to - from] ?? []) if (isText(name, text, from)) return name;
  return '';
}

function isTrue(text: Uint8Array, from: number, to: number): boolean {
  return to - from === 4 && isText('true', text, from);
}

function isText(expected: string, text: Uint8Array, from: number): boolean {
  for (let i = 0; i < expected.length; i++) if (expected.charCodeAt(i) !== text[from + i]) return false;
  return true;
}

function ascii(text: Uint8Array, from: number, to: number): string {
  return String.fromCharCode.apply(null, text.subarray(from, to) as unknown as number[]);
}
