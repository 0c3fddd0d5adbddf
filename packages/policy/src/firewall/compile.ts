/**
 * Makes a gateway's ruleset from its plan. What a packet meets, in this order:
 *
 * - `prerouting` drops what claims a tunnel address, or one of a network behind a device, and comes from elsewhere, or
 *   comes from the tunnel without one.
 * - `forward` and `input` pass at once what belongs to a flow that was accepted (`known`); the packet that begins a
 *   flow is decided (`decide`): its source's address leads to the profile of the device's groups, that to the groups,
 *   and their sets say whether the destination may be reached (`allow`). What nobody allows is refused.
 * - `postrouting` gives what leaves for elsewhere the gateway's address, or the one that the device's group has;
 *   `leaving` sees to it that nobody else has that.
 *
 * A flow is decided by who began it, in whichever direction the packet goes at which it is decided: a change that takes
 * something away has every flow decided anew, and that may happen at a packet that comes back.
 */
import { formatAddress, parsePrefix } from '../access/ip.ts';
import type { GroupPlan } from '../state.ts';
import { rangeOf, rangesOf, type AddressRange, type Family } from './address-ranges.ts';
import { disjointBoxes, type Claim } from './boxes.ts';
import { checkDevices, checkGroups, checkSite, invalid } from './check-plan.ts';
import { leavingRules, postroutingRules } from './egress.ts';
import { addNeighbours, localRules } from './local.ts';
import { Names } from './names.ts';
import { cutOffRanges, insidePrefixes, networkRanges } from './networks.ts';
import type { FirewallPlan } from './plan.ts';
import { addRates, BUCKET6, bucketNumber, rateChain, rateOf } from './rates.ts';
import {
  ALLOW,
  KNOWN,
  REFUSED_MARK,
  type Chain,
  type ElementSet,
  type Meter,
  type Rule,
  type Ruleset,
} from './ruleset.ts';
import { internetRanges } from './special-ranges.ts';
import * as nft from './statements.ts';

const FAMILIES = [4, 6] as const;
const ADDRESS_TYPE = { 4: 'ipv4_addr', 6: 'ipv6_addr' } as const;

/**
 * Compiles one plan after another, and takes from the one before what did not change: the parts of a group, of the
 * devices or of the surroundings are the same objects in both rulesets then. So it must stay as it is what a plan once held.
 */
export class FirewallCompiler {
  readonly #good = new WeakSet<object>();
  readonly #groups = new WeakMap<GroupPlan, GroupPart>();
  #before: Common | undefined;

  /** Throws a FirewallPlanError for a plan that isn't what its types promise, or that is too large. */
  compile(plan: FirewallPlan): Ruleset {
    const before = this.#before;
    const isSameSite = before !== undefined && sameSite(before.plan, plan);
    if (!isSameSite) checkSite(plan);
    checkGroups(plan, this.#good);
    checkDevices(plan, this.#good);
    const internet = isSameSite ? before.internet : internetOf(plan, before?.internet);
    const sets = new Map<string, ElementSet>();
    const chains = new Map<string, Chain>();
    const groupChains = new Map<string, string>();
    const names = new Names('group');
    for (const group of plan.groups) {
      const name = names.of(group.id);
      let part = this.#groups.get(group);
      if (part?.name !== name || part.internet !== internet || !sameAddresses(part, plan)) {
        part = groupPart(plan, group, name, internet);
        this.#groups.set(group, part);
      }
      for (const [set, elements] of part.sets) sets.set(set, elements);
      chains.set(name, part.chain);
      groupChains.set(group.id, name);
    }
    const devices = devicePart(plan, groupChains, before?.devices);
    const common = isSameSite && before.devices === devices ? before.chains : commonChains(plan, devices);
    this.#before = { plan, internet, devices, chains: common };
    const { meters, owners, egress } = devices;
    for (const [name, set] of devices.sets) sets.set(name, set);
    for (const [name, chain] of devices.chains) chains.set(name, chain);
    addNeighbours(plan, sets);
    for (const [name, chain] of common) chains.set(name, chain);
    return { meters, sets, chains, owners, egress, ownAddresses: new Set(plan.ownAddresses) };
  }
}

/** Compiles a single plan: see {@link FirewallCompiler}. */
export function compileFirewall(plan: FirewallPlan): Ruleset {
  return new FirewallCompiler().compile(plan);
}

/** What was made of the plan before, but for its groups. */
interface Common {
  readonly plan: FirewallPlan;
  readonly internet: Internet;
  readonly devices: DevicePart;
  readonly chains: ReadonlyMap<string, Chain>;
}

/** Whether two plans are the same objects, but for groups and names. */
function sameSite(a: FirewallPlan, b: FirewallPlan): boolean {
  const keys = new Set([...Object.keys(a), ...Object.keys(b)] as (keyof FirewallPlan)[]);
  for (const key of keys) if (key !== 'groups' && key !== 'names' && a[key] !== b[key]) return false;
  return true;
}

/** The chains that every packet may meet. */
function commonChains(plan: FirewallPlan, { meters, sets }: DevicePart): ReadonlyMap<string, Chain> {
  const base = (type: 'filter' | 'nat', hook: string, prio: number) =>
    // A chain whose rules somebody has taken away lets nothing pass.
    ({ type, hook, prio, policy: hook === 'forward' ? ('drop' as const) : ('accept' as const) });
  return new Map<string, Chain>([
    [KNOWN, { rules: [] }],
    [ALLOW, { rules: [] }],
    ['local', { rules: localRules(plan) }],
    ['decide', { rules: decideRules() }],
    ['refuse', { rules: refuseRules(plan) }],
    ['prerouting', { base: base('filter', 'prerouting', -300), rules: preroutingRules(plan) }],
    ['forward', { base: base('filter', 'forward', 0), rules: forwardRules(plan, meters.size > 0) }],
    ['input', { base: base('filter', 'input', 0), rules: inputRules(plan) }],
    ['leaving', { base: base('filter', 'postrouting', 110), rules: leavingRules(plan, sets) }],
    ['postrouting', { base: base('nat', 'postrouting', 100), rules: postroutingRules(plan) }],
  ]);
}

/** What a group's grants mean depends on this: what is the internet, and what of it or of networks is not reached. */
interface Internet {
  readonly madeFrom: readonly string[];
  readonly ranges: ByFamily<AddressRange[]>;
  readonly cutOff: ByFamily<AddressRange[]>;
}

function internetOf(plan: FirewallPlan, before: Internet | undefined): Internet {
  const excluded = insidePrefixes(plan);
  const madeFrom = [...excluded, '', ...(plan.connectedNetworks ?? [])];
  if (before !== undefined && sameTexts(before.madeFrom, madeFrom)) return before;
  return {
    madeFrom,
    ranges: { 4: internetRanges(4, excluded), 6: internetRanges(6, excluded) },
    cutOff: { 4: cutOffRanges(4, plan), 6: cutOffRanges(6, plan) },
  };
}

/** A group's chain, and the sets of what it may reach. */
interface GroupPart {
  readonly name: string;
  readonly internet: Internet;
  /** What the names in its grants resolve to. */
  readonly addresses: ReadonlyMap<string, readonly string[]>;
  readonly sets: ReadonlyMap<string, ElementSet>;
  readonly chain: Chain;
}

function groupPart(plan: FirewallPlan, group: GroupPlan, name: string, internet: Internet): GroupPart {
  const addresses = new Map<string, readonly string[]>();
  for (const { destination } of group.grants)
    if (destination.kind === 'name') addresses.set(destination.name, addressesOf(plan, destination.name));
  const claims = claimsOf(group, addresses, internet.ranges);
  const rules: Rule[] = [];
  const sets = new Map<string, ElementSet>();
  for (const family of FAMILIES) {
    const boxes = disjointBoxes(family, claims[family], group.id, internet.cutOff[family]);
    if (boxes.length === 0) continue;
    const set = `${name}-${String(family)}`;
    const elements = new Map(boxes.map((box) => [box, '']));
    sets.set(set, { key: [ADDRESS_TYPE[family], 'inet_proto', 'inet_service'], elements });
    for (const [direction, address, port] of [
      ['original', 'daddr', 'dport'],
      ['reply', 'saddr', 'sport'],
    ] as const) {
      // For protocols without ports the two bytes there are something else: their boxes hold all values.
      const key = { concat: [nft.address(family, address), nft.l4proto, nft.payload('th', port)] };
      rules.push([nft.direction(direction), nft.match(key, `@${set}`), nft.goto(ALLOW)]);
    }
  }
  return { name, internet, addresses, sets, chain: { rules } };
}

function sameAddresses({ addresses }: GroupPart, plan: FirewallPlan): boolean {
  for (const [name, before] of addresses) if (!sameTexts(before, addressesOf(plan, name))) return false;
  return true;
}

function addressesOf({ names }: FirewallPlan, name: string): readonly string[] {
  return Object.hasOwn(names, name) ? names[name] : [];
}

function sameTexts(a: readonly string[], b: readonly string[]): boolean {
  return a === b || (a.length === b.length && a.every((text, i) => text === b[i]));
}

type ByFamily<T> = Readonly<Record<Family, T>>;

/** What a group's grants are in each family. */
export function claimsOf(
  group: GroupPlan,
  names: ReadonlyMap<string, readonly string[]>,
  internet: ByFamily<AddressRange[]>,
): ByFamily<Claim[]> {
  const claims: ByFamily<Claim[]> = { 4: [], 6: [] };
  for (const grant of group.grants) {
    const { destination } = grant;
    switch (destination.kind) {
      case 'internet':
        for (const family of FAMILIES) claims[family].push({ ranges: internet[family], grant });
        break;
      case 'network': {
        const prefix = parsePrefix(destination.prefix);
        if (prefix === undefined) throw invalid(`a prefix of group ${JSON.stringify(group.id)}`);
        claims[prefix.family].push({ ranges: [rangeOf(prefix)], grant });
        break;
      }
      case 'name': {
        const addresses = names.get(destination.name) ?? [];
        for (const family of FAMILIES) claims[family].push({ ranges: rangesOf(family, addresses), grant });
      }
    }
  }
  return claims;
}

/** What is kept by device's address, and a chain for each combination of groups that devices have. */
interface DevicePart extends Pick<Ruleset, 'meters' | 'sets' | 'chains' | 'owners' | 'egress'> {
  readonly devices: FirewallPlan['devices'];
  readonly groupChains: ReadonlyMap<string, string>;
}

/** The part of before where there are the same devices and the same groups. */
function devicePart(
  plan: FirewallPlan,
  groupChains: ReadonlyMap<string, string>,
  before: DevicePart | undefined,
): DevicePart {
  if (before?.devices === plan.devices && sameMap(before.groupChains, groupChains)) return before;
  const meters = new Map<string, Meter>();
  const sets = new Map<string, ElementSet>();
  const chains = new Map<string, Chain>();
  const owners = new Map<string, string>();
  const egress = new Map<string, string>();
  const maps = { device: pair(), up: pair(), down: pair(), egress: pair() };
  // The devices that leave by an address of their group, and those addresses.
  const [special, reserved] = [pair(), pair()];
  const bucket6 = new Map<string, string>();
  const profiles = new Names('profile');
  const profilesByGroups = new Map<string, string>();
  for (const device of plan.devices) {
    const groups = JSON.stringify(device.groups);
    let profile = profilesByGroups.get(groups);
    if (profile === undefined) {
      const targets = new Set(device.groups.flatMap((id) => groupChains.get(id) ?? []));
      profile = profiles.of(targets.size === 0 ? 'none' : [...targets].sort().join('|'));
      if (!chains.has(profile)) chains.set(profile, { rules: [...targets, 'local'].map((chain) => [nft.jump(chain)]) });
      profilesByGroups.set(groups, profile);
    }
    const rate = rateOf(device);
    if (rate !== undefined) bucket6.set(device.ipv6, bucketNumber(device.ipv4));
    for (const family of FAMILIES) {
      const address = family === 4 ? device.ipv4 : device.ipv6;
      owners.set(address, device.id);
      maps.device[family].set(address, profile);
      if (rate !== undefined) {
        maps.up[family].set(address, rateChain('up', family, rate));
        maps.down[family].set(address, rateChain('down', family, rate));
      }
      const leavesBy = family === 4 ? device.egress?.ipv4 : device.egress?.ipv6;
      if (leavesBy !== undefined) {
        egress.set(address, leavesBy);
        maps.egress[family].set(address, leavesBy);
        special[family].set(address, '');
        reserved[family].set(leavesBy, '');
      }
    }
  }
  for (const family of FAMILIES) {
    const add = (name: keyof typeof maps, value: Required<ElementSet>['value']): void => {
      sets.set(`${name}${String(family)}`, { key: [ADDRESS_TYPE[family]], value, elements: maps[name][family] });
    };
    add('device', 'goto');
    add('up', 'jump');
    add('down', 'jump');
    add('egress', ADDRESS_TYPE[family]);
    sets.set(`special${String(family)}`, { key: [ADDRESS_TYPE[family]], elements: special[family] });
    sets.set(`reserved${String(family)}`, { key: [ADDRESS_TYPE[family]], elements: reserved[family] });
  }
  sets.set(BUCKET6, { key: [ADDRESS_TYPE[6]], value: 'classid', elements: bucket6 });
  addNetworks(plan, sets);
  addRates(plan.devices, meters, chains);
  return { devices: plan.devices, groupChains, meters, sets, chains, owners, egress };
}

function sameMap(a: ReadonlyMap<string, string>, b: ReadonlyMap<string, string>): boolean {
  return a.size === b.size && [...a].every(([key, value]) => b.get(key) === value);
}

/** The networks behind devices, as sets of ranges. */
function addNetworks(plan: FirewallPlan, sets: Map<string, ElementSet>): void {
  for (const family of FAMILIES) {
    const elements = networkRanges(family, plan.devices).map(({ first, last }): [string, string] => {
      const [from, to] = [first, last].map((value) => formatAddress({ family, value }));
      return [from === to ? from : `${from}-${to}`, ''];
    });
    const key = [ADDRESS_TYPE[family]];
    sets.set(`networks${String(family)}`, { key, interval: true, elements: new Map(elements) });
  }
}

function pair(): Record<Family, Map<string, string>> {
  return { 4: new Map(), 6: new Map() };
}

function preroutingRules({ interfaceName, gateway }: FirewallPlan): Rule[] {
  const elsewhere = nft.notInterface('iifname', interfaceName, 'lo');
  return FAMILIES.flatMap((family): Rule[] => {
    const pool = family === 4 ? gateway.pool4 : gateway.pool6;
    const networks = `@networks${String(family)}`;
    const source = nft.address(family, 'saddr');
    return [
      // Which device it is that a network lies behind, the tunnel sees to.
      [
        nft.inInterface(interfaceName),
        nft.within(family, 'saddr', pool, '!='),
        nft.match(source, networks, '!='),
        nft.DROP,
      ],
      [elsewhere, nft.within(family, 'saddr', pool), nft.DROP],
      [elsewhere, nft.match(source, networks), nft.DROP],
    ];
  });
}

function forwardRules({ interfaceName }: FirewallPlan, limited: boolean): Rule[] {
  const limit = (family: Family, field: 'saddr' | 'daddr', map: string): Rule => [
    { vmap: { key: nft.address(family, field), data: `@${map}${String(family)}` } },
  ];
  const synOnly = { '&': [nft.payload('tcp', 'flags'), ['syn', 'rst']] };
  return [
    [nft.notInterface('iifname', interfaceName), nft.notInterface('oifname', interfaceName), nft.ACCEPT],
    [
      nft.match(synOnly, 'syn'),
      { mangle: { key: { 'tcp option': { name: 'maxseg', field: 'size' } }, value: { rt: { key: 'mtu' } } } },
    ],
    ...(limited ? FAMILIES.flatMap((family) => [limit(family, 'saddr', 'up'), limit(family, 'daddr', 'down')]) : []),
    [nft.jump(KNOWN)],
    ...decision(),
  ];
}

function inputRules({ interfaceName, gateway }: FirewallPlan): Rule[] {
  const elsewhere = nft.notInterface('iifname', interfaceName);
  return [
    [nft.inInterface('lo'), nft.ACCEPT],
    [elsewhere, nft.within(4, 'daddr', gateway.pool4), nft.DROP],
    [elsewhere, nft.within(6, 'daddr', gateway.pool6), nft.DROP],
    [elsewhere, nft.ACCEPT],
    [nft.jump(KNOWN)],
    // What comes back from a device to this machine: the machine itself began it.
    [nft.direction('reply'), nft.match({ ct: { key: 'state' } }, ['established', 'related'], 'in'), nft.ACCEPT],
    ...decision(),
  ];
}

/**
 * For packets of no flow that is known. An ICMP error isn't of the addresses and ports that its flow was allowed by;
 * where the flow waits to be decided anew, its own next packet does that.
 */
function decision(): Rule[] {
  return [
    [nft.state('invalid'), nft.DROP],
    [nft.state('related'), nft.DROP],
    [nft.jump('decide')],
    [nft.goto('refuse')],
  ];
}

function decideRules(): Rule[] {
  return FAMILIES.flatMap((family) =>
    (['original', 'reply'] as const).map((direction) => {
      const key = nft.address(family, direction === 'original' ? 'saddr' : 'daddr');
      return [nft.direction(direction), { vmap: { key, data: `@device${String(family)}` } }];
    }),
  );
}

/**
 * A device that begins what it may not is told at once: by a reset where it is TCP, since few systems give up a
 * connection for an ICMP error. What was a flow falls silent, so that a passing doubt never breaks a connection.
 */
function refuseRules({ interfaceName }: FirewallPlan): Rule[] {
  const begins = [nft.inInterface(interfaceName), nft.state('new')];
  return [
    // An old generation's mark could meet a later one of the same number.
    [{ mangle: { key: { ct: { key: 'mark' } }, value: REFUSED_MARK } }],
    [...begins, nft.match(nft.l4proto, 'tcp'), { reject: { type: 'tcp reset' } }],
    [...begins, { reject: { type: 'icmpx', expr: 'admin-prohibited' } }],
    [nft.DROP],
  ];
}
