/**
 * The client's packet filter as text for `nft -f -`: one transaction, which replaces the whole table. Text, because the
 * JSON of nft 1.0.6 doesn't know `socket cgroupv2`. What goes into it is numbers, addresses that were parsed, and names
 * of a few plain characters. docs/threat-model.md has the policy as tables.
 */
import { formatAddress, formatPrefix, parseAddress, parsePrefix, withoutCovered, type Family } from '../ip.ts';
import type { FirewallEndpoint, FirewallPolicy } from '../machine/types.ts';
import { CONNECTOR_MARK, ENTRY_INTERFACE, FIREWALL_TABLE, INNER_MARK, OUTSIDE_MARK, SPLIT_MARK } from '../names.ts';

const DNS = 'meta l4proto { tcp, udp } th dport { 53, 853 }';
const OUR_MARKS = [OUTSIDE_MARK, INNER_MARK, SPLIT_MARK].map(hexadecimal).join(', ');

/** @throws TypeError for an address, prefix or name that is none: nothing is let through that was not understood. */
export function rulesetOf(policy: FirewallPolicy | 'open'): string {
  const lines = [`table inet ${FIREWALL_TABLE}`, `delete table inet ${FIREWALL_TABLE}`];
  if (policy === 'open') return `${lines.join('\n')}\n`;
  lines.push(`table inet ${FIREWALL_TABLE} {`);
  lines.push(...chain('arrival', 'filter hook prerouting priority raw; policy accept;', arrival(policy)));
  lines.push(...chain('restore', 'filter hook prerouting priority mangle; policy accept;', restore));
  lines.push(...chain('marking', 'route hook output priority mangle; policy accept;', marking(policy)));
  const end = policy.blocking && policy.only === undefined ? 'drop' : 'accept';
  lines.push(...chain('output', `filter hook output priority filter; policy ${end};`, output(policy)));
  lines.push(...chain('input', `filter hook input priority filter; policy ${end};`, input(policy)));
  lines.push(...chain('forward', `filter hook forward priority filter; policy ${end};`, forward(policy)));
  lines.push(...chain('translation', 'nat hook postrouting priority srcnat; policy accept;', translation(policy)));
  return `${[...lines, '}'].join('\n')}\n`;
}

/** None where there is nothing to do: an empty one is a hook all the same, of translation even several for each packet. */
function chain(name: string, hook: string, rules: readonly string[]): string[] {
  if (rules.length === 0 && hook.endsWith('policy accept;')) return [];
  return [`  chain ${name} {`, ...[`type ${hook}`, ...rules].map((rule) => `    ${rule}`), '  }'];
}

/**
 * Our tunnel addresses are reached through the tunnel alone: a neighbour who sends to them could find out by the answers
 * what they are and which connections they have (CVE-2019-14899). Nor are they anybody's source elsewhere: a machine that
 * forwards would carry that into the tunnel, and the gateway take it for ours. Before connection tracking, so that answers
 * to what is translated are not meant. The address first: to compare it is cheaper than to look the interface up.
 */
function arrival(policy: FirewallPolicy): string[] {
  const inside = interfaces(['lo', ...policy.tunnelInterfaces]);
  return tunnelAddresses(policy).flatMap(([ip, set]) =>
    ['daddr', 'saddr'].map((end) => `${ip} ${end} ${set} iifname != ${inside} drop`),
  );
}

/** Addresses alone: what comes for a prefix would be taken in for the local network too. */
function tunnelAddresses(policy: FirewallPolicy): ReturnType<typeof byFamily> {
  if (policy.tunnelAddresses.some((text) => parseAddress(text) === undefined)) throw new TypeError('no address');
  return byFamily(policy.tunnelAddresses);
}

/** What answers one of ours is looked up as the question was, or a strict reverse path filter would drop it. */
const restore = [`ct mark { ${OUR_MARKS} } meta mark set ct mark`];

/** Programs beside the tunnel; their questions for names go through it all the same. */
function marking(policy: FirewallPolicy): string[] {
  if (policy.splitGroup === undefined) return [];
  const { path, level } = policy.splitGroup;
  if (!/^[A-Za-z0-9@_.-]+(\/[A-Za-z0-9@_.-]+)*$/.test(path) || path.length > 255) throw new TypeError('a group of an odd name'); // prettier-ignore
  if (!Number.isInteger(level) || level < 1 || level > 255) throw new TypeError('a group of an odd level');
  return [
    'oifname "lo" accept',
    `${DNS} accept`,
    `socket cgroupv2 level ${String(level)} "${path}" meta mark set ${hexadecimal(SPLIT_MARK)}`,
  ];
}

function output(policy: FirewallPolicy): string[] {
  // Before the tunnels: what the chain `marking` has sent another way is shown with its old interface yet.
  const rules = ['oifname "lo" accept', ...besideTunnel(policy)];
  if (policy.tunnels.length > 0) {
    const inside = interfaces(policy.tunnels);
    // With our tunnel addresses alone: a connection from before, or a program that is bound to another address of this
    // machine, would tell the exit where it is. Answers to such packets don't come anyway.
    rules.push(...tunnelAddresses(policy).map(([ip, set]) => `oifname ${inside} ${ip} saddr ${set} accept`));
    rules.push(`oifname ${inside} drop`);
  }
  // What they take is remembered with the connection: input knows answers by it.
  rules.push(...policy.endpoints.map((endpoint) => `${endpointOf(endpoint)} ct mark set meta mark accept`));
  rules.push(...marksEnd(policy), ...connectionsForNamesEnd(policy), ...namesInside(policy));
  if (policy.blocking && policy.only === undefined) {
    if (policy.dhcp) {
      rules.push('meta nfproto ipv4 udp sport 68 udp dport 67 ip daddr 255.255.255.255 accept');
      rules.push('udp sport 546 udp dport 547 ip6 saddr fe80::/10 ip6 daddr ff02::1:2 accept');
    }
    rules.push(...neighbourDiscoveryOut(policy));
    rules.push(...byFamily(policy.excluded).map(([ip, set]) => `${ip} daddr ${set} accept`));
    rules.push(...local(policy, 'daddr'));
  }
  return [...rules, ...unprotected(policy, 'daddr')];
}

/** Of programs beside the tunnel; what asks for names is left to the rules below. */
function besideTunnel(policy: FirewallPolicy): string[] {
  const split = `meta mark ${hexadecimal(SPLIT_MARK)} oifname != "${ENTRY_INTERFACE}"`;
  const others = policy.dnsByTunnel ? ['meta l4proto != { tcp, udp } ', 'meta l4proto { tcp, udp } th dport != { 53, 853 } '] : ['']; // prettier-ignore
  return others.map((kind) => `${split} ${kind}ct mark set meta mark accept`);
}

/** Our marks carry nothing but what was named above; not even where the kill switch is off, or `only` lets the rest pass. */
function marksEnd(policy: FirewallPolicy): string[] {
  if (!policy.blocking) return [];
  const rules = [`meta mark { ${[OUTSIDE_MARK, INNER_MARK].map(hexadecimal).join(', ')} } drop`];
  // Into the entry's tunnel go the exit's datagrams alone.
  return [...rules, `oifname "${ENTRY_INTERFACE}" drop`];
}

/** They are refused, not swallowed: systemd-resolved waits for such a connection, and with it whoever asked for a name. */
function connectionsForNamesEnd(policy: FirewallPolicy): string[] {
  return policy.dnsByTunnel ? ['tcp dport { 53, 853 } reject with tcp reset'] : [];
}

function namesInside(policy: FirewallPolicy): string[] {
  return policy.dnsByTunnel ? [`${DNS} drop`] : [];
}

function input(policy: FirewallPolicy): string[] {
  const rules = ['iifname "lo" accept'];
  if (policy.tunnels.length > 0) {
    const inside = interfaces(policy.tunnels);
    // Whoever sits at the other end of the tunnel reaches our addresses there, not those of the local network.
    rules.push(...tunnelAddresses(policy).map(([ip, set]) => `iifname ${inside} ${ip} daddr ${set} accept`));
    rules.push(`iifname ${inside} drop`);
  }
  rules.push(`ct mark { ${OUR_MARKS} } ct state established,related accept`);
  if (policy.blocking && policy.only === undefined) {
    if (policy.dhcp) {
      rules.push('meta nfproto ipv4 udp sport 67 udp dport 68 accept');
      rules.push('udp sport 547 udp dport 546 ip6 saddr fe80::/10 accept');
    }
    rules.push(...neighbourDiscoveryIn());
    rules.push(...byFamily(policy.excluded).map(([ip, set]) => `${ip} saddr ${set} accept`));
    rules.push(...local(policy, 'saddr'));
  }
  return [...rules, ...unprotected(policy, 'saddr')];
}

function forward(policy: FirewallPolicy): string[] {
  const rules: string[] = [];
  if (policy.tunnels.length > 0) {
    const inside = interfaces(policy.tunnels);
    for (const [ip, set] of byFamily(policy.connector)) {
      rules.push(`iifname ${inside} oifname != ${inside} ${ip} daddr ${set} ct mark set ${hexadecimal(CONNECTOR_MARK)} accept`); // prettier-ignore
    }
    // Answers are for containers: a route that the network slips in for one of them (TunnelVision) would lay them open.
    rules.push(...byOutside('oifname', policy.outside).map((by) => `iifname ${inside} ${by}drop`));
    rules.push(`iifname ${inside} ct state established,related accept`, `iifname ${inside} drop`);
    // Who is around this machine or behind it answers what came from the tunnel, and sends nothing else there: it would be
    // taken for this machine's own. The rest is containers and virtual machines of its own.
    rules.push(`oifname ${inside} ct mark ${hexadecimal(CONNECTOR_MARK)} accept`);
    rules.push(...byFamily(policy.connector).map(([ip, set]) => `oifname ${inside} ${ip} saddr ${set} drop`));
    rules.push(...byOutside('iifname', policy.outside).map((by) => `${by}oifname ${inside} drop`));
    rules.push(`oifname ${inside} accept`);
  }
  rules.push(...namesInside(policy));
  if (policy.blocking && policy.only === undefined) {
    for (const field of ['daddr'] as const) {
      rules.push(...byFamily(policy.excluded).map(([ip, set]) => `${ip} ${field} ${set} accept`));
      rules.push(...byFamily(policy.localNetworks ?? []).map(([ip, set]) => `${ip} ${field} ${set} accept`));
    }
  }
  return [...rules, ...unprotected(policy, 'daddr'), ...unprotected(policy, 'saddr')];
}

/** The kernel takes other names than can be told here: where there is one nothing is forwarded rather than too much. */
function byOutside(field: 'iifname' | 'oifname', names: readonly string[]): string[] {
  if (!names.every(isPlainName)) return [''];
  return names.length === 0 ? [] : [`${field} ${interfaces(names)} `];
}

function translation(policy: FirewallPolicy): string[] {
  const outside = `oifname != ${interfaces(['lo', ...policy.tunnelInterfaces])}`;
  return [
    // These chose their source address for the tunnel.
    ...(policy.splitGroup === undefined ? [] : [`meta mark ${hexadecimal(SPLIT_MARK)} ${outside} masquerade`]),
    ...(policy.connector.length === 0 ? [] : [`ct mark ${hexadecimal(CONNECTOR_MARK)} ${outside} masquerade`]),
  ];
}

/** Where some prefixes alone are protected they don't pass, and the chain's end lets the rest. */
function unprotected(policy: FirewallPolicy, field: 'saddr' | 'daddr'): string[] {
  if (!policy.blocking || policy.only === undefined) return [];
  return byFamily(policy.only).map(([ip, set]) => `${ip} ${field} ${set} drop`);
}

function local(policy: FirewallPolicy, field: 'saddr' | 'daddr'): string[] {
  if (policy.localNetworks === undefined) return [];
  const rules = byFamily([...policy.localNetworks, '169.254.0.0/16', 'fe80::/10']).map(
    ([ip, set]) => `${ip} ${field} ${set} accept`,
  );
  if (field === 'saddr') return rules;
  // mDNS and its like, SSDP, broadcast; RFC 4291, section 2.7: link-local and site-local.
  return [
    ...rules,
    'ip daddr { 224.0.0.0/24, 239.255.255.250, 255.255.255.255 } accept',
    'ip6 daddr { ff02::/16, ff05::/16 } accept',
  ];
}

/**
 * RFC 4861: hop limit 255, as every receiver checks, and to the link alone or to whom we have to reach. And the reports of
 * RFC 3810: a switch that snoops on them passes neighbours' solicitations to those alone who report. They go no further
 * than the link either. IPv4 finds neighbours by ARP, so IGMP is no part of this.
 */
function neighbourDiscoveryOut(policy: FirewallPolicy): string[] {
  const hosts = policy.endpoints.map(({ address }) => address).filter((address) => address.includes(':'));
  const [[, set] = ['', undefined]] = byFamily(['ff02::1:ff00:0/104', 'ff02::1', 'fe80::/10', ...hosts]);
  return [
    'ip6 hoplimit 255 ip6 daddr ff02::2 icmpv6 type nd-router-solicit accept',
    `ip6 hoplimit 255 ip6 daddr ${set ?? 'fe80::/10'} icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept`,
    'ip6 hoplimit 1 ip6 saddr { ::, fe80::/10 } ip6 daddr ff02::16 icmpv6 type mld2-listener-report accept',
  ];
}

function neighbourDiscoveryIn(): string[] {
  const hop = 'ip6 hoplimit 255';
  // No redirects: a neighbour doesn't say where our packets go.
  return [
    `${hop} ip6 saddr fe80::/10 icmpv6 type nd-router-advert accept`,
    `${hop} icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept`,
    'ip6 hoplimit 1 ip6 saddr fe80::/10 icmpv6 type mld-listener-query accept',
  ];
}

function endpointOf({ protocol, address, port, mark, interface: device }: FirewallEndpoint): string {
  const [[ip, host] = []] = byFamily([address]);
  if (ip === undefined || host === undefined || parseAddress(address) === undefined) throw new TypeError('no address');
  if (!Number.isInteger(port) || port < 1 || port > 65_535) throw new TypeError('no port');
  if (protocol !== 'udp' && protocol !== 'tcp') throw new TypeError('no protocol');
  const by = device === undefined ? `oifname != "${ENTRY_INTERFACE}"` : `oifname ${interfaces([device])}`;
  return `meta mark ${hexadecimal(mark)} ${by} ${ip} daddr ${host} ${protocol} dport ${String(port)}`;
}

/** The prefixes as sets, one of each family; a prefix in another is left out, which a set with intervals would refuse. */
function byFamily(prefixes: readonly string[]): (readonly ['ip' | 'ip6', string])[] {
  const parsed = prefixes.map((text) => {
    const prefix = parsePrefix(text);
    if (prefix === undefined) throw new TypeError('no prefix');
    return prefix;
  });
  return ([4, 6] as const).flatMap((family: Family) => {
    const own = withoutCovered(parsed.filter((prefix) => prefix.family === family));
    const texts = own.map((prefix) => {
      const whole = prefix.length === (family === 4 ? 32 : 128);
      return whole ? formatAddress(family, prefix.first) : formatPrefix(prefix);
    });
    return texts.length === 0 ? [] : [[family === 4 ? 'ip' : 'ip6', `{ ${texts.join(', ')} }`] as const];
  });
}

function interfaces(names: readonly string[]): string {
  if (!names.every(isPlainName)) throw new TypeError('an interface of an odd name');
  return names.length === 1 ? `"${names[0] ?? ''}"` : `{ ${names.map((name) => `"${name}"`).join(', ')} }`;
}

function isPlainName(name: string): boolean {
  return /^[A-Za-z0-9_.-]{1,15}$/.test(name);
}

function hexadecimal(value: number): string {
  if (!Number.isInteger(value) || value < 1 || value > 0xffff_ffff) throw new TypeError('no mark');
  return `0x${value.toString(16)}`;
}
