/** Whoever makes the rules is the system's administrator and whoever sends the plan is not: nothing in it is trusted. */
import { formatAddress, parseAddress, parsePrefix } from '../access/ip.ts';
import type { Family } from './address-ranges.ts';
import { usableNetworks } from './networks.ts';
import type { FirewallPlan } from './plan.ts';
import { FirewallPlanError } from './plan-error.ts';

const MAX_DEVICES = 1_000_000;
const MAX_GROUPS = 1_000_000;
const PROTOCOLS: readonly string[] = ['any', 'tcp', 'udp', 'icmp'];

/*
 * Each throws a FirewallPlanError that names the first value that is not what the types promise; destinations are read later.
 * Lists and entries that were found good are added to `good`, and not looked at again.
 */

/** All but groups and devices, and what lies behind devices. */
export function checkSite(plan: FirewallPlan): void {
  const { gateway } = plan;
  expect(/^[A-Za-z0-9][\w.-]{0,14}$/.test(plan.interfaceName) && plan.interfaceName !== 'lo', 'interfaceName');
  expect(isPrefix(gateway.pool4, 4), 'gateway.pool4');
  expect(isPrefix(gateway.pool6, 6), 'gateway.pool6');
  expect(isAddress(gateway.address4, 4), 'gateway.address4');
  expect(isAddress(gateway.address6, 6), 'gateway.address6');
  checkEgress(gateway.egress, 'gateway.egress');
  for (const address of plan.ownAddresses) expect(parseAddress(address) !== undefined, 'ownAddresses');
  for (const port of plan.localTcpPorts) expect(isPort(port) && port > 0, 'localTcpPorts');
  const { udp, tcp } = plan.tunnelPorts ?? { udp: [], tcp: [] };
  for (const port of [...udp, ...tcp]) expect(isPort(port) && port > 0, 'tunnelPorts');
  for (const { port } of plan.neighbours ?? []) expect(isPort(port) && port > 0, 'neighbours');
  for (const network of plan.connectedNetworks ?? []) expect(isPrefix(network, familyOf(network)), 'connectedNetworks');
  const { faults } = usableNetworks(plan.devices, [gateway.pool4, gateway.pool6, ...plan.ownAddresses]);
  expect(faults.length === 0, `networks, of which ${faults[0] ?? ''}`);
}

export function checkGroups({ groups }: FirewallPlan, good: WeakSet<object>): void {
  if (good.has(groups)) return;
  expect(groups.length <= MAX_GROUPS, 'number of groups');
  const ids = new Set<string>();
  for (const group of groups) {
    const { id, grants } = group;
    expect(!ids.has(id), `group ${JSON.stringify(id)}, which is there twice`);
    ids.add(id);
    if (good.has(group)) continue;
    for (const { protocol, ports } of grants) {
      const where = `a grant of group ${JSON.stringify(id)}`;
      expect(PROTOCOLS.includes(protocol), where);
      for (const { from, to } of ports) expect(isPort(from) && isPort(to) && from <= to, where);
    }
    good.add(group);
  }
  good.add(groups);
}

export function checkDevices({ devices }: FirewallPlan, good: WeakSet<object>): void {
  if (good.has(devices)) return;
  expect(devices.length <= MAX_DEVICES, 'number of devices');
  const [ids, addresses] = [new Set<string>(), new Set<string>()];
  for (const device of devices) {
    const { id, ipv4, ipv6, egress, bitsPerSecond } = device;
    if (ids.has(id)) throw invalid(`device ${JSON.stringify(id)}, which is there twice`);
    ids.add(id);
    if (addresses.has(ipv4) || addresses.has(ipv6))
      throw invalid(`address of device ${JSON.stringify(id)}, which another has`);
    addresses.add(ipv4).add(ipv6);
    if (good.has(device)) continue;
    const where = `device ${JSON.stringify(id)}`;
    expect(isAddress(ipv4, 4) && isAddress(ipv6, 6), `address of ${where}`);
    if (egress !== undefined) checkEgress(egress, `egress of ${where}`);
    expect(
      bitsPerSecond === undefined || (Number.isSafeInteger(bitsPerSecond) && bitsPerSecond > 0),
      `rate of ${where}`,
    );
    good.add(device);
  }
  good.add(devices);
}

function checkEgress({ ipv4, ipv6 }: FirewallPlan['gateway']['egress'], where: string): void {
  expect(ipv4 === undefined || isAddress(ipv4, 4), where);
  expect(ipv6 === undefined || isAddress(ipv6, 6), where);
}

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/;
/** What is surely canonical: at most six words, none of them zero, and `::` for the others. */
const PLAIN_IPV6 =
  /^(?=(?:[^:]*:){2,6}[^:]*$)(?:[1-9a-f][0-9a-f]{0,3}:)+:(?:[1-9a-f][0-9a-f]{0,3}(?::[1-9a-f][0-9a-f]{0,3})*)?$/;

// Two spellings of an address would be two devices here and one in the kernel: only the canonical one is taken.
function isAddress(text: string, family: Family): boolean {
  if (family === 4) return IPV4.test(text);
  if (PLAIN_IPV6.test(text)) return true;
  const parsed = parseAddress(text);
  return parsed?.family === 6 && formatAddress(parsed) === text;
}

function isPrefix(text: string, family: Family): boolean {
  return text.includes('/') && parsePrefix(text)?.family === family;
}

function familyOf(text: string): Family {
  return text.includes(':') ? 6 : 4;
}

function isPort(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value <= 0xffff;
}

function expect(holds: boolean, what: string): void {
  if (!holds) throw invalid(what);
}

export function invalid(what: string): FirewallPlanError {
  return new FirewallPlanError('invalid', `the firewall plan is not valid: ${what}`);
}
