/** Resources, rules and policy tests as they are stored, from what a request says: canonical, and checked as a whole. */
import { isIP } from 'node:net';
import type { PolicyTest, Resource } from '@sallyport/api';
import {
  formatAddress,
  formatPrefix,
  hasHostBits,
  isMapped,
  parseAddress,
  parsePrefix,
  prefixContains,
} from '@sallyport/policy';
import type { IpPrefix } from '@sallyport/policy';
import type { PolicyTestValue } from '../repositories/policy-tests.ts';
import type { References } from '../repositories/references.ts';
import type { ResourceValue } from '../repositories/resources.ts';
import type { RuleValue } from '../repositories/rules.ts';
import type { Faults } from './faults.ts';

/** Checks a resource and brings its parts into their canonical form. */
export function resourceValue(input: ResourceValue, at: string, faults: Faults): ResourceValue {
  const { name, description, kind } = input;
  if (kind === 'network') {
    if (input.prefixes.length === 0) faults.add(`${at}/prefixes`, 'a network needs addresses or prefixes: 10.0.0.0/8');
  } else if (input.prefixes.length > 0) faults.add(`${at}/prefixes`, `go with the kind network, not with ${kind}`);
  if (kind === 'name') {
    if (input.domain === null) faults.add(`${at}/domain`, 'a resource of the kind name needs a DNS name');
    else if (isIP(input.domain) !== 0) {
      faults.add(`${at}/domain`, 'is an address: make it a network with this address among its prefixes');
    }
  } else if (input.domain !== null) faults.add(`${at}/domain`, `goes with the kind name, not with ${kind}`);
  const services = input.services.map((service, i) => {
    const withPorts = service.protocol === 'tcp' || service.protocol === 'udp';
    if (!withPorts && service.ports.length > 0) {
      faults.add(`${at}/services/${String(i)}/ports`, 'ports go with tcp or udp: name each of them with its ports');
    }
    return { protocol: service.protocol, ports: service.ports };
  });
  const prefixes = input.prefixes.map((text, i) => networkPrefix(text, `${at}/prefixes/${String(i)}`, faults));
  return {
    name,
    description,
    kind,
    prefixes: [...new Set(prefixes)],
    domain: input.domain?.toLowerCase() ?? null,
    services,
  };
}

/** Checks that a prefix has no host bits set and is one that a gateway can forward to. */
function networkPrefix(text: string, at: string, faults: Faults): string {
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    faults.add(at, 'is no address and no prefix');
    return text;
  }
  const canonical = formatPrefix(prefix);
  if (hasHostBits(text)) {
    faults.add(
      at,
      `${text} has bits set beyond its length: write ${canonical}, or ${text.split('/', 1).join()} for that one address`,
    );
  } else if (isTooWide(prefix)) {
    faults.add(
      at,
      `${canonical} takes in public and private networks alike: use a resource of the kind internet for what is public, ` +
        'and name the private networks',
    );
  } else {
    const unreachable = UNREACHABLE.find(([range]) => prefixContains(range, prefix) || prefixContains(prefix, range));
    if (unreachable !== undefined) faults.add(at, `${canonical} can't be forwarded to: ${unreachable[1]}`);
  }
  return canonical;
}

/** No organisation has more than a /8, nor in IPv6 more than a /16 but the unique local addresses. */
export function isTooWide(prefix: IpPrefix): boolean {
  return prefix.family === 4 ? prefix.length < 8 : prefix.length < 16 && !prefixContains(UNIQUE_LOCAL, prefix);
}

const UNIQUE_LOCAL = known('fc00::/7');
const UNREACHABLE: readonly (readonly [IpPrefix, string])[] = [
  [known('0.0.0.0/8'), 'it is no network (RFC 791)'],
  [known('127.0.0.0/8'), 'these are loopback addresses'],
  [known('169.254.0.0/16'), 'these are link-local addresses, where clouds keep their metadata services'],
  [known('224.0.0.0/4'), 'these are multicast addresses'],
  [known('240.0.0.0/4'), 'these addresses are reserved'],
  [known('::/127'), 'these are the unspecified and the loopback address'],
  [known('::ffff:0.0.0.0/96'), 'write it as an IPv4 prefix'],
  [known('fe80::/10'), 'these are link-local addresses'],
  [known('ff00::/8'), 'these are multicast addresses'],
];

function known(text: string): IpPrefix {
  const prefix = parsePrefix(text);
  if (prefix === undefined) throw new TypeError(text);
  return prefix;
}

export interface RuleInput {
  readonly name: string;
  readonly enabled: boolean;
  /** Ids or names. */
  readonly groups: readonly string[];
  readonly resources: readonly string[];
  readonly gateways: readonly string[];
}

/** Resolves what a rule names. */
export function ruleValue(input: RuleInput, references: References, at: string, faults: Faults): RuleValue {
  const ids = (kind: 'group' | 'resource' | 'gateway', field: 'groups' | 'resources' | 'gateways'): string[] => {
    const resolved = input[field].map((reference, i) => {
      const id = references.idOf(kind, reference);
      if (id === undefined)
        faults.add(`${at}/${field}/${String(i)}`, `there is no ${kind} ${JSON.stringify(reference)}`);
      return id ?? reference;
    });
    return [...new Set(resolved)];
  };
  if (input.groups.length === 0) faults.add(`${at}/groups`, 'a rule needs a group; everyone is one');
  if (input.resources.length === 0) faults.add(`${at}/resources`, 'a rule needs a resource');
  return {
    name: input.name,
    enabled: input.enabled,
    groups: ids('group', 'groups'),
    resources: ids('resource', 'resources'),
    gateways: ids('gateway', 'gateways'),
  };
}

export interface PolicyTestInput {
  readonly name: string;
  /** An id or a name, as `gateway`. */
  readonly user: string;
  readonly destination: string;
  readonly protocol: PolicyTest['protocol'];
  readonly port: number | null;
  readonly gateway: string | null;
  readonly expect: PolicyTest['expect'];
}

/** Resolves what a policy test names, and checks that it asks for something that can be answered. */
export function policyTestValue(
  input: PolicyTestInput,
  references: References,
  resources: Iterable<Pick<Resource, 'kind' | 'domain'>>,
  at: string,
  faults: Faults,
): PolicyTestValue {
  const userId = references.idOf('user', input.user);
  if (userId === undefined) faults.add(`${at}/user`, `there is no user ${JSON.stringify(input.user)}`);
  const gatewayId = input.gateway === null ? null : references.idOf('gateway', input.gateway);
  if (gatewayId === undefined) faults.add(`${at}/gateway`, `there is no gateway ${JSON.stringify(input.gateway)}`);
  const address = parseAddress(input.destination);
  const destination = address === undefined ? input.destination.toLowerCase() : formatAddress(address);
  if (address === undefined && ![...resources].some(({ kind, domain }) => kind === 'name' && domain === destination)) {
    faults.add(`${at}/destination`, 'is neither an address nor the DNS name of a resource');
  }
  checkDestination(input.destination, at, faults);
  checkPort(input.protocol, input.port, at, faults);
  return {
    name: input.name,
    userId: userId ?? '',
    destination,
    protocol: input.protocol,
    port: input.port,
    gatewayId: gatewayId ?? null,
    expect: input.expect,
  };
}

/** Nothing is reached by an IPv6 address that stands for an IPv4 one: a "no" would be true whatever the rules say. */
export function checkDestination(destination: string, at: string, faults: Faults): void {
  const address = parseAddress(destination);
  if (address === undefined || !isMapped(address)) return;
  const plain = formatAddress({ family: 4, value: address.value & 0xffff_ffffn });
  faults.add(`${at}/destination`, `write it as the IPv4 address that it stands for: ${plain}`);
}

/** TCP and UDP go to a port, ICMP to none. */
export function checkPort(protocol: PolicyTest['protocol'], port: number | null, at: string, faults: Faults): void {
  if (protocol === 'icmp' && port !== null) faults.add(`${at}/port`, 'ICMP has no ports');
  if (protocol !== 'icmp' && port === null) faults.add(`${at}/port`, `${protocol} needs a port`);
}
