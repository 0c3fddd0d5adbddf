import { Secret } from '@sallyport/core';
import { formatIpAddress, formatIpPrefix, maskAddress, parseDecimal, parseIpPrefix } from './ip-address.ts';
import type { IpPrefix } from './ip-address.ts';
import { decodeHexKey, encodeHexKey, isZeroKey, KEY_BYTES } from './key-text.ts';
import type { DeviceChange, Endpoint } from './uapi.ts';
import { parseEndpoint } from './uapi.ts';
import { isPlain, PLAIN_VARIANT, VARIANT_KEYS, VARIANT_LIMITS, type Variant, type VariantKey } from './variant.ts';

/** One peer of a device, as a `get=1` answer tells it. */
export interface PeerState {
  readonly publicKey: Uint8Array;
  readonly presharedKey: Secret<Uint8Array> | undefined;
  readonly endpoint: Endpoint | undefined;
  /** When the last handshake was completed, since the epoch; zeros where there was none. */
  readonly lastHandshakeSeconds: number;
  readonly lastHandshakeNanoseconds: number;
  readonly rxBytes: number;
  readonly txBytes: number;
  /** Seconds; 0 is off. */
  readonly persistentKeepalive: number;
  readonly allowedIps: Iterable<IpPrefix>;
}

/** A device, as a `get=1` answer tells it. */
export interface DeviceState {
  readonly privateKey: Secret<Uint8Array> | undefined;
  /** 0 while it has none. */
  readonly listenPort: number;
  /** 0 is none. */
  readonly fwmark: number;
  /** What the first listener speaks, where that is not WireGuard itself. */
  readonly variant?: Variant | undefined;
  readonly peers: Iterable<PeerState>;
}

/** Text goes out in pieces of about this many characters. */
const CHUNK_LENGTH = 32_768;

/** Encodes the answer to `get=1`, piece by piece, so that many peers need little memory. */
export function* encodeDeviceState(state: DeviceState): Generator<string, void, void> {
  let text = '';
  if (state.privateKey !== undefined) text += `private_key=${encodeHexKey(state.privateKey.reveal())}\n`;
  if (state.listenPort !== 0) text += `listen_port=${String(state.listenPort)}\n`;
  if (state.fwmark !== 0) text += `fwmark=${String(state.fwmark)}\n`;
  text += encodeVariant(state.variant);
  for (const peer of state.peers) {
    text += `public_key=${encodeHexKey(peer.publicKey)}\n`;
    text += `preshared_key=${encodeHexKey(peer.presharedKey?.reveal() ?? NO_KEY)}\n`;
    text += 'protocol_version=1\n';
    if (peer.endpoint !== undefined) text += `endpoint=${formatEndpoint(peer.endpoint)}\n`;
    text += `last_handshake_time_sec=${String(peer.lastHandshakeSeconds)}\n`;
    text += `last_handshake_time_nsec=${String(peer.lastHandshakeNanoseconds)}\n`;
    text += `tx_bytes=${String(peer.txBytes)}\nrx_bytes=${String(peer.rxBytes)}\n`;
    text += `persistent_keepalive_interval=${String(peer.persistentKeepalive)}\n`;
    for (const prefix of peer.allowedIps) {
      text += `allowed_ip=${formatIpPrefix(prefix)}\n`;
      if (text.length >= CHUNK_LENGTH) {
        yield text;
        text = '';
      }
    }
    if (text.length >= CHUNK_LENGTH) {
      yield text;
      text = '';
    }
  }
  yield `${text}errno=0\n\n`;
}

function encodeVariant(variant: Partial<Variant> = {}): string {
  return VARIANT_KEYS.map((key) => (variant[key] === undefined ? '' : `${key}=${String(variant[key])}\n`)).join('');
}

/** The answer to a request that has nothing more to tell: 0, or the errno of what went wrong. */
export function encodeErrno(errno: number): string {
  return `errno=${String(-Math.abs(errno) || 0)}\n\n`;
}

/** Encodes a `set=1` request, piece by piece. */
export function* encodeDeviceChange(change: DeviceChange): Generator<string, void, void> {
  let text = 'set=1\n';
  if (change.privateKey !== undefined) text += `private_key=${encodeHexKey(change.privateKey.reveal())}\n`;
  if (change.listenPort !== undefined) text += `listen_port=${String(change.listenPort)}\n`;
  if (change.fwmark !== undefined) text += `fwmark=${String(change.fwmark)}\n`;
  text += encodeVariant(change.variant);
  if (change.replacePeers) text += 'replace_peers=true\n';
  for (const peer of change.peers) {
    text += `public_key=${encodeHexKey(peer.publicKey)}\n`;
    if (peer.remove) text += 'remove=true\n';
    if (peer.updateOnly) text += 'update_only=true\n';
    if (peer.presharedKey !== undefined) text += `preshared_key=${encodeHexKey(peer.presharedKey.reveal())}\n`;
    if (peer.endpoint !== undefined) text += `endpoint=${formatEndpoint(peer.endpoint)}\n`;
    if (peer.persistentKeepalive !== undefined) {
      text += `persistent_keepalive_interval=${String(peer.persistentKeepalive)}\n`;
    }
    if (peer.replaceAllowedIps) text += 'replace_allowed_ips=true\n';
    for (const prefix of peer.allowedIps) {
      text += `allowed_ip=${prefix.remove ? '-' : ''}${formatIpPrefix(prefix)}\n`;
      if (text.length >= CHUNK_LENGTH) {
        yield text;
        text = '';
      }
    }
    if (text.length >= CHUNK_LENGTH) {
      yield text;
      text = '';
    }
  }
  yield `${text}\n`;
}

export type DecodedAnswer =
  { readonly ok: true; readonly state: DeviceState } | { readonly ok: false; readonly reason: string };

type OpenPeerState = { -readonly [Key in keyof PeerState]: PeerState[Key] } & { allowedIps: IpPrefix[] };

/** Decodes a device's answer to `get=1`. Keys that are unknown are passed over: they may be a later version's. */
export function decodeDeviceState(answer: string): DecodedAnswer {
  let privateKey: Secret<Uint8Array> | undefined;
  let listenPort = 0;
  let fwmark = 0;
  const variant: Record<VariantKey, number> = { ...PLAIN_VARIANT };
  let errno: number | undefined;
  const peers: OpenPeerState[] = [];
  let peer: OpenPeerState | undefined;
  let lineNumber = 0;
  for (const line of answer.split('\n')) {
    lineNumber++;
    if (line === '') break;
    const equals = line.indexOf('=');
    const name = line.slice(0, equals);
    const value = line.slice(equals + 1);
    let valid = equals > 0;
    const number = (max: number): number => {
      const parsed = /^\d{1,16}$/.test(value) ? Number(value) : Infinity;
      valid &&= parsed <= max;
      return parsed;
    };
    if (name === 'public_key') {
      const publicKey = keyOf(value);
      if (publicKey === undefined) valid = false;
      else peers.push((peer = newPeerState(publicKey)));
    } else if (name === 'private_key') {
      const key = keyOf(value);
      valid = key !== undefined;
      privateKey = key && !isZeroKey(key) ? new Secret(key) : undefined;
    } else if (name === 'listen_port') listenPort = number(0xffff);
    else if (name === 'fwmark') fwmark = number(0xffff_ffff);
    else if (peer === undefined && VARIANT_KEYS.includes(name as VariantKey))
      variant[name as VariantKey] = number(VARIANT_LIMITS[name as VariantKey]);
    else if (name === 'errno') {
      valid = /^-?\d{1,10}$/.test(value);
      errno = Number(value);
    } else if (peer !== undefined) {
      if (name === 'preshared_key') {
        const key = keyOf(value);
        valid = key !== undefined;
        peer.presharedKey = key && !isZeroKey(key) ? new Secret(key) : undefined;
      } else if (name === 'endpoint') {
        peer.endpoint = parseEndpoint(value);
        valid = peer.endpoint !== undefined;
      } else if (name === 'last_handshake_time_sec') peer.lastHandshakeSeconds = number(Number.MAX_SAFE_INTEGER);
      else if (name === 'last_handshake_time_nsec') peer.lastHandshakeNanoseconds = number(999_999_999);
      else if (name === 'tx_bytes') peer.txBytes = number(Number.MAX_SAFE_INTEGER);
      else if (name === 'rx_bytes') peer.rxBytes = number(Number.MAX_SAFE_INTEGER);
      else if (name === 'persistent_keepalive_interval') {
        const seconds = parseDecimal(value, 0xffff);
        valid = seconds !== undefined;
        peer.persistentKeepalive = seconds ?? 0;
      } else if (name === 'allowed_ip') {
        const prefix = parseIpPrefix(value);
        if (prefix === undefined) valid = false;
        else {
          maskAddress(prefix.address, prefix.prefixLength);
          peer.allowedIps.push(prefix);
        }
      }
    }
    if (!valid) return { ok: false, reason: `line ${String(lineNumber)} of the answer is invalid` };
  }
  if (errno === undefined) return { ok: false, reason: 'the answer ends before its errno' };
  if (errno !== 0) return { ok: false, reason: `the device answered errno ${String(errno)}` };
  return { ok: true, state: { privateKey, listenPort, fwmark, ...(isPlain(variant) ? {} : { variant }), peers } };
}

/** Formats an endpoint so that {@link parseEndpoint} reads it back. */
export function formatEndpoint(endpoint: Endpoint): string {
  const host = formatIpAddress(endpoint.address);
  if (endpoint.family === 4) return `${host}:${String(endpoint.port)}`;
  return `[${host}${endpoint.scope === '' ? '' : `%${endpoint.scope}`}]:${String(endpoint.port)}`;
}

const NO_KEY = new Uint8Array(KEY_BYTES);
const digits = new Uint8Array(2 * KEY_BYTES);

function keyOf(value: string): Uint8Array | undefined {
  if (value.length !== digits.length) return undefined;
  for (let i = 0; i < digits.length; i++) digits[i] = Math.min(value.charCodeAt(i), 255);
  const key = decodeHexKey(digits, 0, digits.length);
  digits.fill(0);
  return key;
}

function newPeerState(publicKey: Uint8Array): OpenPeerState {
  return {
    publicKey,
    presharedKey: undefined,
    endpoint: undefined,
    lastHandshakeSeconds: 0,
    lastHandshakeNanoseconds: 0,
    rxBytes: 0,
    txBytes: 0,
    persistentKeepalive: 0,
    allowedIps: [],
  };
}
