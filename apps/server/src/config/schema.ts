/** The keys of sallyport.toml: what each may be, and what it is where the file does not name it. */
import { isIP } from 'node:net';
import { hasHostBits, isNowhere, parsePrefix } from '@sallyport/policy';
import { z } from 'zod';

/** Where to listen. */
export interface ListenAddress {
  readonly host: string;
  readonly port: number;
}

/** `127.0.0.1:8443`, `[::1]:8443`. Undefined where it is neither. */
export function parseListenAddress(text: string): ListenAddress | undefined {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([0-9.]+)):(\d{1,5})$/.exec(text);
  if (match === null) return undefined;
  const [, ipv6, ipv4, port] = match;
  if (Number(port) < 1 || Number(port) > 65_535 || isIP(ipv6 ?? ipv4 ?? '') !== (ipv6 === undefined ? 4 : 6))
    return undefined;
  return { host: ipv6 ?? ipv4 ?? '', port: Number(port) };
}

const listenAddress = z.string('give addresses as text: "0.0.0.0:443"').transform((text, context) => {
  const address = parseListenAddress(text);
  if (address !== undefined) return address;
  const message = `"${text}" is no address with a port; write it as "127.0.0.1:8443" or "[::1]:8443"`;
  context.addIssue({ code: 'custom', message });
  return z.NEVER;
});
const listenAddresses = z
  .array(listenAddress, 'give a list: ["0.0.0.0:443"]')
  .min(1, 'name at least one address: ["0.0.0.0:443"]')
  .max(16, 'name at most 16 addresses');

const loopbackAddress = listenAddress.refine(
  ({ host }) => host === '127.0.0.1' || host === '::1',
  'write a loopback address, for these metrics need no login: "127.0.0.1:9586"',
);

const flag = z.boolean('write true or false');
const text = z.string('write text in quotes');
const orEmpty = <T extends z.ZodType<string>>(schema: T) => z.union([z.literal(''), schema]);
const path = text.regex(/^\/[^\0]*$/, 'write a full path, one that begins with "/"');
const port = z
  .int('write a port: a number from 1 to 65535')
  .min(1, 'ports begin at 1')
  .max(65_535, 'ports end at 65535');
const uid = z.int('write the number of a user').min(1, 'not root: a number from 1').max(4_294_967_293, 'too large');
const hostName = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*\.?$/i;
const host = text.refine(
  (value) => isIP(value) !== 0 || hostName.test(value),
  'write a host name or an address, without scheme and port: "vpn.example.org"',
);
const slug = text.regex(
  /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/,
  'write lower-case letters, digits, ".", "_" and "-", at most 63',
);
const webUrl = text.refine((value) => {
  const url = URL.parse(value);
  if (url === null || !/^https?:$/.test(url.protocol)) return false;
  return url.pathname === '/' && url.username + url.password + url.search + url.hash === '';
}, 'write scheme, host and, where it is not 443, the port: "https://vpn.example.org"');

function isNetwork(value: string): boolean {
  const [address = '', length = '', ...more] = value.split('/');
  if (more.length > 0 || isIP(address) === 0 || address.includes('%')) return false;
  return length === ''
    ? !value.includes('/')
    : /^\d{1,3}$/.test(length) && Number(length) <= (isIP(address) === 4 ? 32 : 128);
}

/** An IPv4 prefix in its canonical form: no bit set behind its length. */
function isPool4(value: string): boolean {
  const prefix = parsePrefix(value);
  return prefix?.family === 4 && prefix.length >= 8 && prefix.length <= 28 && !hasHostBits(value);
}

/** Unique local, or global unicast but 6to4 (RFC 4291, section 2.4). */
function isUsable6(value: string): boolean {
  const pool = parsePrefix(value);
  if (pool === undefined) return true;
  const word = Number(pool.value >> 112n);
  return word >> 9 === 0xfc >> 1 || (word >> 13 === 1 && word !== 0x2002);
}

/** A /64: the kernel and the address pool count within its lower half. */
function isPool6(value: string): boolean {
  const match = /^([0-9a-f:]+)::\/64$/i.exec(value);
  if (match === null || isIP(`${match[1] ?? ''}::`) !== 6) return false;
  return (match[1] ?? '').split(':').length <= 4;
}

const web = z.strictObject({
  listen: listenAddresses.prefault(['0.0.0.0:443', '[::]:443']),
  public_url: orEmpty(webUrl).default(''),
  tls: z
    .enum(['self-signed', 'files', 'acme', 'off'], 'choose "self-signed", "files", "acme" or "off"')
    .default('self-signed'),
  certificate: orEmpty(path).default(''),
  key: orEmpty(path).default(''),
  trusted_proxies: z
    .array(
      text.refine(isNetwork, 'write addresses or prefixes: "127.0.0.1", "10.0.0.0/24"'),
      'give a list: ["127.0.0.1"]',
    )
    .max(64, 'name at most 64')
    .default([]),
  acme: z.strictObject({
    domains: z
      .array(
        text.refine((name) => hostName.test(name) && isIP(name) === 0, 'write host names: "vpn.example.org"'),
        'give a list: ["vpn.example.org"]',
      )
      .max(100, 'a certificate holds at most 100 names')
      .default([]),
    email: orEmpty(z.email('write an e-mail address')).default(''),
    directory: z
      .url({ protocol: /^https$/, error: 'write the URL of an ACME directory: https://…' })
      .default('https://acme-v02.api.letsencrypt.org/directory'),
    directory_ca: orEmpty(path).default(''),
    listen: listenAddresses.prefault(['0.0.0.0:80', '[::]:80']),
  }),
});

const gateway = z.strictObject({
  enabled: flag.default(true),
  name: orEmpty(slug).default(''),
  interface: text
    .regex(
      /^(?!(?:all|default)$)[A-Za-z][A-Za-z0-9_.-]{0,14}$/,
      'write letters, digits, "_", "." and "-", a letter first, at most 15; "all" and "default" are the kernel\'s',
    )
    .default('sallyport0'),
  listen_port: port.default(51_820),
  amneziawg_port: z.union([z.literal(0), port], 'write a port, or 0 for none').default(51_821),
  public_address: orEmpty(host).default(''),
  tls_listen: z
    .array(listenAddress, 'give a list: ["0.0.0.0:8444"]')
    .max(16, 'name at most 16 addresses')
    .prefault(['0.0.0.0:8444', '[::]:8444']),
  tls_on_web: flag.default(false),
  openvpn_port: z.union([z.literal(0), port], 'write a port, or 0 for none').default(1194),
  openvpn_tcp_listen: z
    .array(listenAddress, 'give a list: ["0.0.0.0:1194"]')
    .max(16, 'name at most 16 addresses')
    .prefault(['0.0.0.0:1194', '[::]:1194']),
  openvpn_on_web: flag.default(false),
  names: flag.default(true),
  region: orEmpty(slug).default(''),
  country: orEmpty(text.regex(/^[A-Z]{2}$/, 'write two capital letters (ISO 3166-1): "DE"')).default(''),
  city: text.max(100, 'at most 100 characters').default(''),
  mtu: z.int('write a number of bytes').min(1280, 'IPv6 needs at least 1280').max(9000, 'at most 9000').default(1420),
});

export const configurationSchema = z.strictObject({
  data: path.default('/var/lib/sallyport'),
  web,
  gateway,
  network: z.strictObject({
    pool4: text
      .refine(isPool4, 'write an IPv4 prefix from /8 to /28 whose further bits are 0: "10.77.0.0/16"')
      .refine(
        (value) => !isNowhere(value),
        'no device can have such an address; write a private prefix: "10.77.0.0/16"',
      )
      .default('10.77.0.0/16'),
    pool6: orEmpty(
      text
        .refine(isPool6, 'write an IPv6 /64: "fd12:3456:789a:1::/64"')
        .refine(
          isUsable6,
          'no device can have such an address; write one that begins with fd: "fd12:3456:789a:1::/64"',
        ),
    ).default(''),
  }),
  storage: z.strictObject({
    postgresql_url_file: orEmpty(path).default(''),
  }),
  control: z.strictObject({ enabled: flag.default(true) }),
  log: z.strictObject({
    level: z.enum(['error', 'warn', 'info', 'debug'], 'choose "error", "warn", "info" or "debug"').default('info'),
  }),
  metrics: z.strictObject({
    gateway_listen: z.union([z.literal('').transform(() => undefined), loopbackAddress]).prefault(''),
  }),
  process: z.strictObject({
    control_uid: uid.default(64_871),
    gateway_uid: uid.default(64_872),
    carrier_uid: uid.default(64_873),
    names_uid: uid.default(64_874),
  }),
});

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}` ? `${Head}${Capitalize<Camel<Tail>>}` : S;
type Camelized<T> = T extends readonly (infer Item)[]
  ? readonly Item[]
  : T extends ListenAddress | string | number | boolean | undefined
    ? T
    : { readonly [K in keyof T as K extends string ? Camel<K> : K]: Camelized<T[K]> };

/** A checked configuration, frozen; the keys of the file in camel case. */
export type Configuration = Camelized<z.output<typeof configurationSchema>>;

/** A fault between keys that are each right by themselves. */
export interface CrossFault {
  readonly path: readonly string[];
  readonly message: string;
}

/** A port that can't be listened on for both; a list that is faulty by itself is none. */
function clash(one: unknown, other: unknown): number | undefined {
  if (!Array.isArray(one) || !Array.isArray(other)) return undefined;
  const isAny = (host: string): boolean => host === '0.0.0.0' || host === '::';
  return (one as ListenAddress[]).find((a) =>
    (other as ListenAddress[]).some(
      (b) =>
        a.port === b.port && isIP(a.host) === isIP(b.host) && (a.host === b.host || isAny(a.host) || isAny(b.host)),
    ),
  )?.port;
}

/** What keys demand of each other. A key that is faulty by itself is undefined here. */
export function crossFaults(value: (...path: string[]) => unknown): CrossFault[] {
  const faults: CrossFault[] = [];
  const add = (path: string[], message: string): void => void faults.push({ path, message });
  const tls = value('web', 'tls');
  if (tls === 'files') {
    for (const key of ['certificate', 'key']) {
      if (value('web', key) === '') add(['web', key], `tls = "files" needs it: the path of the PEM file`);
    }
  }
  if (tls === 'acme') {
    const domains = value('web', 'acme', 'domains');
    if (Array.isArray(domains) && domains.length === 0) {
      add(['web', 'acme', 'domains'], 'tls = "acme" needs at least one name: ["vpn.example.org"]');
    }
    const asked = clash(value('web', 'listen'), value('web', 'acme', 'listen'));
    if (asked !== undefined) add(['web', 'acme', 'listen'], `port ${String(asked)} is that of web.listen already; the authority asks at 80`); // prettier-ignore
    if (value('web', 'acme', 'email') === '') add(['web', 'acme', 'email'], 'tls = "acme" needs an e-mail address');
  }
  if (value('control', 'enabled') === false && value('gateway', 'enabled') === false) {
    add(['gateway', 'enabled'], 'control plane and gateway are both off; set one of them to true');
  }
  const udpPorts = ['listen_port', 'amneziawg_port', 'openvpn_port'] as const;
  for (const [i, name] of udpPorts.entries()) {
    const port = value('gateway', name);
    if (port === undefined || port === 0) continue;
    const same = udpPorts.slice(0, i).find((other) => value('gateway', other) === port);
    if (same !== undefined) add(['gateway', name], `must differ from ${same}; take another number, or 0 for none`);
  }
  for (const key of ['tls_on_web', 'openvpn_on_web'] as const) {
    if (value('gateway', key) === true && value('control', 'enabled') === false) {
      add(['gateway', key], 'there is no console on this machine, whose port could carry tunnels');
    }
  }
  if (value('gateway', 'openvpn_on_web') === true && tls === 'off') {
    const remedy = 'set openvpn_on_web = false, or let the console speak TLS itself';
    add(['gateway', 'openvpn_on_web'], `the proxy in front of the console lets HTTP pass alone; ${remedy}`);
  }
  if (value('gateway', 'openvpn_on_web') === true && value('gateway', 'openvpn_port') === 0) {
    add(['gateway', 'openvpn_on_web'], 'openvpn_port = 0 turns OpenVPN off; take a port for it');
  }
  if (value('gateway', 'enabled') === true) {
    const hasConsole = value('control', 'enabled') === true;
    for (const [key, onWeb] of [
      ['tls_listen', 'tls_on_web'],
      ['openvpn_tcp_listen', 'openvpn_on_web'],
    ] as const) {
      const shared = hasConsole ? clash(value('web', 'listen'), value('gateway', key)) : undefined;
      if (shared === undefined) continue;
      const remedy = `take another, or leave it out and set ${onWeb} = true`;
      add(['gateway', key], `port ${String(shared)} is the console's already; ${remedy}`);
    }
    const both = clash(value('gateway', 'tls_listen'), value('gateway', 'openvpn_tcp_listen'));
    if (both !== undefined) {
      add(['gateway', 'openvpn_tcp_listen'], `port ${String(both)} is that of tls_listen already; take another`);
    }
  }
  const uids = ['control_uid', 'gateway_uid', 'carrier_uid', 'names_uid'] as const;
  for (const [i, name] of uids.entries()) {
    const uid = value('process', name);
    const same = uids.slice(0, i).find((other) => uid !== undefined && value('process', other) === uid);
    if (same !== undefined)
      add(['process', name], `must differ from ${same}, which keeps the two apart; take another number`);
  }
  return faults;
}
