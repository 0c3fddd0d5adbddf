import { Secret } from '@sallyport/core';
import {
  checkVariant,
  decodeBase64Key,
  formatIpPrefix,
  isZeroKey,
  PLAIN_VARIANT,
  VARIANT_LIMITS,
} from '@sallyport/wireguard';
import type { IpPrefix, Variant } from '@sallyport/wireguard';
import { suggest } from '@sallyport/core';
import type { EndpointConfig, ParsedConfig, PeerConfig, Remark } from './config.ts';
import { parseAddress, parseAllowedIp, parseDnsEntry, parseHostAndPort, parseNumber, shown } from './values.ts';

const VARIANT_KEYS = {
  Jc: 'jc',
  Jmin: 'jmin',
  Jmax: 'jmax',
  S1: 's1',
  S2: 's2',
  H1: 'h1',
  H2: 'h2',
  H3: 'h3',
  H4: 'h4',
} as const;
const INTERFACE_KEYS = [
  'PrivateKey',
  'ListenPort',
  'FwMark',
  'Address',
  'DNS',
  'MTU',
  'Table',
  'PreUp',
  'PostUp',
  'PreDown',
  'PostDown',
  'SaveConfig',
  'Jc',
  'Jmin',
  'Jmax',
  'S1',
  'S2',
  'H1',
  'H2',
  'H3',
  'H4',
] as const;
const PEER_KEYS = ['PublicKey', 'PresharedKey', 'AllowedIPs', 'Endpoint', 'PersistentKeepalive'] as const;

type InterfaceKey = (typeof INTERFACE_KEYS)[number];
type PeerKey = (typeof PEER_KEYS)[number];

/** Keys that may be given several times: their values add up. */
const REPEATABLE: ReadonlySet<string> = new Set([
  'Address',
  'DNS',
  'PreUp',
  'PostUp',
  'PreDown',
  'PostDown',
  'AllowedIPs',
]);
/** Keys that may be left without a value. */
const MAY_BE_EMPTY: ReadonlySet<string> = REPEATABLE;

const MIN_MTU = 68;
const MIN_IPV6_MTU = 1280;
const MAX_MTU = 65_535;
/** Past this many faults, a file is no configuration at all. */
const MAX_FAULTS = 100;

interface OpenPeer {
  readonly line: number;
  publicKey: Uint8Array | undefined;
  publicKeyBroken: boolean;
  presharedKey: Secret<Uint8Array> | undefined;
  allowedIps: { prefix: IpPrefix; line: number }[];
  endpoint: EndpointConfig | undefined;
  persistentKeepalive: number | undefined;
}

/**
 * Parses the text of a wg-quick configuration file (wg-quick(8), wg(8)). Every fault is named, with its line and
 * what to write instead, and none shows a key.
 */
export function parseConfig(text: string): ParsedConfig {
  return new Parser().parse(text);
}

class Parser {
  readonly #faults: Remark[] = [];
  readonly #warnings: Remark[] = [];
  #line = 0;
  #section: 'none' | 'Interface' | 'Peer' | 'unknown' = 'none';
  #interfaceLine = 0;
  /** The keys of the section so far, and their lines. */
  #seen = new Map<string, number>();
  /** The same for [Interface], which checks at the end look at. */
  readonly #interfaceSeen = new Map<string, number>();

  #privateKey: Secret<Uint8Array> | undefined;
  #listenPort: number | undefined;
  #fwmark: number | undefined;
  #variant: Variant | undefined;
  readonly #addresses: IpPrefix[] = [];
  readonly #dnsServers: string[] = [];
  readonly #dnsSearch: string[] = [];
  #mtu: number | undefined;
  #table: string | undefined;
  readonly #hooks = {
    PreUp: [] as string[],
    PostUp: [] as string[],
    PreDown: [] as string[],
    PostDown: [] as string[],
  };
  #saveConfig = false;
  readonly #peers: OpenPeer[] = [];

  parse(text: string): ParsedConfig {
    for (const line of text.replace(/^\uFEFF/, '').split('\n')) {
      this.#line++;
      this.#parseLine(line);
      if (this.#faults.length >= MAX_FAULTS) {
        this.#fault('too many faults; the rest of the file was not read');
        return { ok: false, faults: this.#faults };
      }
    }
    this.#checkWhole();
    if (this.#faults.length > 0) return { ok: false, faults: this.#faults.sort((a, b) => a.line - b.line) };
    return {
      ok: true,
      warnings: this.#warnings,
      config: {
        privateKey: this.#privateKey,
        listenPort: this.#listenPort,
        fwmark: this.#fwmark,
        variant: this.#variant,
        addresses: this.#addresses,
        dnsServers: this.#dnsServers,
        dnsSearch: this.#dnsSearch,
        mtu: this.#mtu,
        table: this.#table,
        preUp: this.#hooks.PreUp,
        postUp: this.#hooks.PostUp,
        preDown: this.#hooks.PreDown,
        postDown: this.#hooks.PostDown,
        saveConfig: this.#saveConfig,
        peers: this.#peers.flatMap(finishPeer),
      },
    };
  }

  #fault(message: string, line = this.#line): void {
    this.#faults.push({ line, message });
  }

  #parseLine(raw: string): void {
    const hash = raw.indexOf('#');
    const line = (hash < 0 ? raw : raw.slice(0, hash)).trim();
    if (line === '') return;
    if (line.includes('\0')) {
      this.#fault('a zero byte; save the file as plain text');
      return;
    }
    if (line.startsWith('[')) {
      this.#parseSection(line);
      return;
    }
    const equals = line.indexOf('=');
    if (equals < 0) {
      this.#fault('no "="; write KEY = VALUE, or begin a comment with #');
      return;
    }
    this.#parseKey(line.slice(0, equals).trim(), line.slice(equals + 1).trim());
  }

  #parseSection(line: string): void {
    const name = line.toLowerCase();
    this.#seen = new Map();
    if (name === '[interface]') {
      this.#section = 'Interface';
      this.#seen = this.#interfaceSeen;
      if (this.#interfaceLine > 0) {
        this.#fault(
          `a second [Interface] section; move its lines up to the first one, at line ${String(this.#interfaceLine)}`,
        );
      } else this.#interfaceLine = this.#line;
    } else if (name === '[peer]') {
      this.#section = 'Peer';
      this.#peers.push({
        line: this.#line,
        publicKey: undefined,
        publicKeyBroken: false,
        presharedKey: undefined,
        allowedIps: [],
        endpoint: undefined,
        persistentKeepalive: undefined,
      });
    } else {
      this.#section = 'unknown';
      this.#fault(`unknown section ${shown(line)}; write [Interface] or [Peer]`);
    }
  }

  #parseKey(written: string, value: string): void {
    if (this.#section === 'unknown') return;
    const lower = written.toLowerCase();
    const interfaceKey = INTERFACE_KEYS.find((key) => key.toLowerCase() === lower);
    const peerKey = PEER_KEYS.find((key) => key.toLowerCase() === lower);
    const key = interfaceKey ?? peerKey;
    if (key === undefined) {
      this.#fault(this.#unknownKey(written));
      return;
    }
    const home = interfaceKey === undefined ? 'Peer' : 'Interface';
    if (this.#section !== home) {
      const place =
        this.#section === 'none'
          ? 'before the first section'
          : `in an [${this.#section}] section`.replace('an [P', 'a [P');
      this.#fault(`${key} stands ${place}; move it to ${home === 'Peer' ? 'a [Peer]' : 'the [Interface]'} section`);
      return;
    }
    const first = this.#seen.get(key);
    if (first !== undefined && !REPEATABLE.has(key)) {
      this.#fault(`${key} was given at line ${String(first)} already; remove one of the two`);
      return;
    }
    this.#seen.set(key, first ?? this.#line);
    if (value === '') {
      if (!MAY_BE_EMPTY.has(key)) this.#fault(`${key}: no value; write one behind the "=", or remove the line`);
      return;
    }
    const peer = this.#peers.at(-1);
    if (interfaceKey !== undefined) this.#assignInterface(interfaceKey, value);
    else if (peerKey !== undefined && peer !== undefined) this.#assignPeer(peer, peerKey, value);
  }

  #unknownKey(written: string): string {
    // What stands before "=" may be a key that was pasted on a line of its own: it ends in "=".
    if (!/^[A-Za-z][A-Za-z ]{0,23}$/.test(written)) return 'unknown key; write KEY = VALUE, or begin a comment with #';
    const known = this.#section === 'Peer' ? PEER_KEYS : INTERFACE_KEYS;
    const meant = suggest(written.replaceAll(' ', ''), known) ?? suggest(written, [...INTERFACE_KEYS, ...PEER_KEYS]);
    return `unknown key ${written}; ${meant === undefined ? 'remove the line' : `did you mean ${meant}?`}`;
  }

  #assignInterface(key: InterfaceKey, value: string): void {
    switch (key) {
      case 'PrivateKey': {
        const decoded = decodeBase64Key(value);
        if (decoded === undefined)
          this.#fault('PrivateKey: not a key; write the 44 characters that "sallyport genkey" prints');
        else if (isZeroKey(decoded))
          this.#fault('PrivateKey: the key is all zeros; write one that "sallyport genkey" prints');
        else this.#privateKey = new Secret(decoded);
        return;
      }
      case 'ListenPort':
        this.#listenPort = parseNumber(value, 0, 65_535);
        if (this.#listenPort === undefined)
          this.#fault(
            `ListenPort: ${shown(value)} is not a port; write a number from 0 to 65535 (0: any that is free)`,
          );
        return;
      case 'FwMark':
        this.#fwmark = value.toLowerCase() === 'off' ? 0 : parseNumber(value, 0, 0xffff_ffff, true);
        if (this.#fwmark === undefined) {
          this.#fault(
            `FwMark: ${shown(value)} is not a mark; write off, or a number up to 0xffffffff, decimal or with 0x`,
          );
        }
        return;
      case 'Address':
        for (const entry of value.split(/[\s,]+/).filter(Boolean)) {
          const parsed = parseAddress(entry);
          if (typeof parsed === 'string') this.#fault(`Address: ${parsed}`);
          else if (this.#addresses.some((other) => formatIpPrefix(other) === formatIpPrefix(parsed))) {
            this.#fault(`Address: ${shown(entry)} is there already; remove it once`);
          } else this.#addresses.push(parsed);
        }
        return;
      case 'DNS':
        for (const entry of value.split(/[\s,]+/).filter(Boolean)) {
          const parsed = parseDnsEntry(entry);
          if (parsed.kind === 'server') this.#dnsServers.push(parsed.text);
          else if (parsed.kind === 'search') this.#dnsSearch.push(parsed.text);
          else this.#fault(`DNS: ${parsed.text}`);
        }
        return;
      case 'MTU':
        this.#mtu = parseNumber(value, MIN_MTU, MAX_MTU);
        if (this.#mtu === undefined) {
          this.#fault(
            `MTU: ${shown(value)} is not an MTU; write a number from ${String(MIN_MTU)} to ${String(MAX_MTU)}, or remove the line to have it worked out`,
          );
        }
        return;
      case 'Table': {
        const table = value.toLowerCase();
        const number = parseNumber(value, 1, 0xffff_ffff);
        if (['auto', 'off', 'main', 'default', 'local'].includes(table)) this.#table = table;
        else if (number !== undefined) this.#table = String(number);
        else this.#fault(`Table: ${shown(value)} is not a routing table; write auto, off, or the table's number`);
        return;
      }
      case 'SaveConfig': {
        const lower = value.toLowerCase();
        if (lower !== 'true' && lower !== 'false')
          this.#fault(`SaveConfig: ${shown(value)} is neither; write true or false`);
        this.#saveConfig = lower === 'true';
        return;
      }
      case 'PreUp':
      case 'PostUp':
      case 'PreDown':
      case 'PostDown':
        this.#hooks[key].push(value);
        return;
      default: {
        const limit = VARIANT_LIMITS[VARIANT_KEYS[key]];
        const number = parseNumber(value, 0, limit);
        if (number === undefined)
          this.#fault(`${key}: ${shown(value)} is not what it may be; write a number from 0 to ${String(limit)}`);
        else this.#variant = { ...(this.#variant ?? PLAIN_VARIANT), [VARIANT_KEYS[key]]: number };
      }
    }
  }

  #assignPeer(peer: OpenPeer, key: PeerKey, value: string): void {
    switch (key) {
      case 'PublicKey': {
        const decoded = decodeBase64Key(value);
        peer.publicKeyBroken = decoded === undefined || isZeroKey(decoded);
        if (decoded === undefined)
          this.#fault('PublicKey: not a key; write the 44 characters that "sallyport pubkey" prints');
        else if (isZeroKey(decoded)) this.#fault("PublicKey: the key is all zeros; write the peer's public key");
        peer.publicKey = decoded;
        return;
      }
      case 'PresharedKey': {
        const decoded = decodeBase64Key(value);
        if (decoded === undefined)
          this.#fault('PresharedKey: not a key; write the 44 characters that "sallyport genpsk" prints');
        else peer.presharedKey = new Secret(decoded);
        return;
      }
      case 'AllowedIPs':
        for (const entry of value.split(',')) {
          const parsed = parseAllowedIp(entry.trim());
          if (typeof parsed === 'string') this.#fault(`AllowedIPs: ${parsed}`);
          else peer.allowedIps.push({ prefix: parsed, line: this.#line });
        }
        return;
      case 'Endpoint': {
        const parsed = parseHostAndPort(value);
        if (typeof parsed === 'string') this.#fault(`Endpoint: ${parsed}`);
        else peer.endpoint = { ...parsed, line: this.#line };
        return;
      }
      case 'PersistentKeepalive':
        peer.persistentKeepalive = value.toLowerCase() === 'off' ? 0 : parseNumber(value, 0, 65_535);
        if (peer.persistentKeepalive === undefined) {
          this.#fault(`PersistentKeepalive: ${shown(value)} is not an interval; write off, or seconds from 1 to 65535`);
        }
    }
  }

  /** What only shows once the whole file is known. */
  #checkWhole(): void {
    if (this.#interfaceLine === 0) {
      this.#fault('no [Interface] section; begin the file with one', 1);
    } else if (
      !this.#interfaceSeen.has('PrivateKey') &&
      this.#hooks.PostUp.length === 0 &&
      this.#hooks.PreUp.length === 0
    ) {
      this.#fault('[Interface] has no PrivateKey; add one that "sallyport genkey" prints', this.#interfaceLine);
    }
    const variantFault = this.#variant && checkVariant(this.#variant);
    if (variantFault !== undefined)
      this.#fault(`AmneziaWG's keys: ${variantFault}; take them from the gateway's operator`, this.#interfaceLine);
    const ipv6 = this.#addresses.some((prefix) => prefix.family === 6);
    if (ipv6 && this.#mtu !== undefined && this.#mtu < MIN_IPV6_MTU) {
      this.#fault(
        `MTU: ${String(this.#mtu)} is too small for IPv6; write ${String(MIN_IPV6_MTU)} or more, or remove the IPv6 addresses`,
        this.#interfaceSeen.get('MTU'),
      );
    }
    const publicKeys = new Map<string, number>();
    const prefixes = new Map<string, { peer: OpenPeer; line: number }>();
    for (const peer of this.#peers) {
      if (peer.publicKey === undefined) {
        if (!peer.publicKeyBroken)
          this.#fault("[Peer] has no PublicKey; add the peer's, or remove the section", peer.line);
        continue;
      }
      const name = peer.publicKey.join();
      const other = publicKeys.get(name);
      if (other !== undefined && !peer.publicKeyBroken) {
        this.#fault(
          `[Peer] has the same PublicKey as the one at line ${String(other)}; make one section of the two`,
          peer.line,
        );
      }
      publicKeys.set(name, other ?? peer.line);
      for (const { prefix, line } of peer.allowedIps) {
        const text = formatIpPrefix(prefix);
        const before = prefixes.get(text);
        if (before !== undefined && before.peer !== peer) {
          this.#warnings.push({
            line,
            message: `AllowedIPs: ${text} is also at line ${String(before.line)}; the peer here gets it, the one there does not`,
          });
        }
        prefixes.set(text, { peer, line });
      }
    }
  }
}

function finishPeer(peer: OpenPeer): PeerConfig[] {
  const { publicKey, presharedKey, endpoint, persistentKeepalive } = peer;
  if (publicKey === undefined) return [];
  const allowedIps = peer.allowedIps.map(({ prefix }) => prefix);
  return [{ publicKey, presharedKey, allowedIps, endpoint, persistentKeepalive }];
}
