/** Random organisations and random changes of them, for tests: what a change doesn't touch is shared, as in the directory. */
import { EVERYONE } from '@sallyport/policy';
import type {
  AccessModel,
  DeviceModel,
  EgressModel,
  GatewayModel,
  GroupModel,
  NamesPlan,
  PolicyTestModel,
  ResourceModel,
  RuleModel,
  UserModel,
} from '@sallyport/policy';
import type { SeededRandom } from '@sallyport/testkit';

export const START = 1_800_000_000_000;

export function emptyModel(): AccessModel {
  return {
    pool4: '100.64.0.0/16',
    pool6: 'fd00:5a11::/64',
    users: new Map(),
    groups: new Map([[EVERYONE, group({ id: EVERYONE })]]),
    devices: new Map(),
    gateways: new Map(),
    resources: new Map(),
    rules: new Map(),
    tests: new Map(),
  };
}

/** A copy of a model with one entity put, or removed where `item` is undefined. */
export function changed<K extends 'users' | 'groups' | 'devices' | 'gateways' | 'resources' | 'rules' | 'tests'>(
  model: AccessModel,
  kind: K,
  id: string,
  item: (AccessModel[K] extends ReadonlyMap<string, infer T> ? T : never) | undefined,
): AccessModel {
  const map = new Map<string, unknown>(model[kind]);
  if (item === undefined) map.delete(id);
  else map.set(id, item);
  return { ...model, [kind]: map };
}

export function user(from: Partial<UserModel> & { id: string }): UserModel {
  return {
    name: from.id,
    disabled: false,
    expiresAt: null,
    lastLoginAt: null,
    loginEpoch: '',
    groups: new Set(),
    bitsPerSecond: null,
    trafficBytesPerMonth: null,
    devicesPerUser: null,
    trafficBytesThisMonth: 0,
    ...from,
  };
}

export function group(from: Partial<GroupModel> & { id: string }): GroupModel {
  return {
    name: from.id,
    requireDeviceApproval: false,
    sessionLifetimeMs: null,
    bitsPerSecond: null,
    trafficBytesPerMonth: null,
    devicesPerUser: null,
    ...from,
  };
}

export function device(number: number, userId: string, from: Partial<DeviceModel> = {}): DeviceModel {
  return {
    id: `d${String(number)}`,
    userId,
    name: `device ${String(number)}`,
    publicKey: `key${String(number)}`,
    ipv4: `100.64.${String(number >> 8)}.${String(number & 255)}`,
    ipv6: `fd00:5a11::${number.toString(16)}`,
    approved: true,
    expiresAt: null,
    bitsPerSecond: null,
    ...from,
  };
}

export function gateway(from: Partial<GatewayModel> & { id: string }): GatewayModel {
  return { name: from.id, regionId: 'r', draining: false, egress: [], ...from };
}

export function resource(from: Partial<ResourceModel> & { id: string }): ResourceModel {
  return { name: from.id, kind: 'network', prefixes: [], domain: null, services: [], ...from };
}

export function rule(from: Partial<RuleModel> & { id: string }): RuleModel {
  return { name: from.id, enabled: true, groups: [], resources: [], gateways: [], ...from };
}

export function policyTest(from: Partial<PolicyTestModel> & { id: string; userId: string }): PolicyTestModel {
  return {
    name: from.id,
    destination: '10.0.0.1',
    protocol: 'tcp',
    port: 443,
    gatewayId: null,
    expect: 'allow',
    ...from,
  };
}

/** Sizes of a random organisation; few of each, so that changes meet. */
const USERS = 12;
const GROUPS = 4;
const DEVICES = 25;
const GATEWAYS = 5;
const RESOURCES = 6;
const RULES = 8;
const REGIONS = 3;
const OPENVPN: NonNullable<AccessModel['openvpn']> = {
  authority: 'a',
  clientKey: 'k',
  tokenKey: 't',
  dataCiphers: [],
  push: [],
};
const NAMES: NamesPlan = { upstreams: [], blocked: [], blockLists: [], hosts: [], domains: [] };

export function randomOrganisation(random: SeededRandom): AccessModel {
  let model = emptyModel();
  for (let i = 0; i < 70; i++) model = randomChange(random, model);
  return model;
}

/** Puts or removes something. Ids may name what doesn't exist, as between two changes in a database. */
export function randomChange(random: SeededRandom, model: AccessModel): AccessModel {
  const id = (prefix: string, count: number): string => `${prefix}${String(random.below(count))}`;
  const some = (prefix: string, count: number): string[] => {
    const picked = new Set<string>();
    for (let n = random.below(4); n > 0; n--) picked.add(id(prefix, count));
    return [...picked];
  };
  const groups = (): string[] => [...some('g', GROUPS), ...(random.chance(0.2) ? [EVERYONE] : [])];
  const orNull = <T>(probability: number, value: () => T): T | null => (random.chance(probability) ? value() : null);
  const time = (): number => START + random.below(1000) * 1000;
  const removed = random.chance(0.12);
  const rate = (): number => 1_000_000 * (1 + random.below(3));
  const openvpn = (): DeviceModel['openvpn'] => ({
    login: random.pick(['certificate', 'password', 'web'] as const),
    certificate: orNull(0.6, () => ({ sha256: `c${String(random.below(2))}`, expiresAt: time() })),
  });
  if (random.chance(0.05))
    return { ...model, names: random.pick([null, NAMES, { ...NAMES, blocked: ['ads.example'] }]) };
  if (random.chance(0.05))
    return { ...model, openvpn: random.pick([null, OPENVPN, { ...OPENVPN, push: ['route-ipv6 ::/0'] }]) };
  switch (random.below(8)) {
    case 0: {
      const key = id('u', USERS);
      const put = user({
        id: key,
        disabled: random.chance(0.15),
        expiresAt: orNull(0.2, time),
        lastLoginAt: orNull(0.7, () => time() - 500_000),
        groups: new Set(some('g', GROUPS)),
        bitsPerSecond: orNull(0.2, rate),
        trafficBytesPerMonth: orNull(0.2, () => 1000),
        trafficBytesThisMonth: random.below(1500),
      });
      return changed(model, 'users', key, removed ? undefined : put);
    }
    case 1: {
      const key = random.chance(0.2) ? EVERYONE : id('g', GROUPS);
      const put = group({
        id: key,
        sessionLifetimeMs: orNull(0.3, () => 100_000 * (1 + random.below(9))),
        bitsPerSecond: orNull(0.4, rate),
        trafficBytesPerMonth: orNull(0.3, () => 1000),
        requireRegionId: orNull(0.05, () => id('r', REGIONS)),
        requireGatewayId: orNull(0.05, () => id('w', GATEWAYS)),
      });
      return changed(model, 'groups', key, removed && key !== EVERYONE ? undefined : put);
    }
    case 2:
    case 3: {
      const number = random.below(DEVICES);
      const put = device(number, id('u', USERS), {
        approved: random.chance(0.9),
        expiresAt: orNull(0.2, time),
        bitsPerSecond: orNull(0.2, rate),
        publicKey: `key${String(number)}-${String(random.below(2))}`,
        ...(random.chance(0.3) ? { publicKey: null, openvpn: openvpn() } : {}),
        networks: random.chance(0.8) ? undefined : [`10.${String(random.below(3))}.0.0/24`],
      });
      return changed(model, 'devices', put.id, removed ? undefined : put);
    }
    case 4: {
      const key = id('w', GATEWAYS);
      const egress = (): EgressModel => ({
        group: random.chance(0.3) ? null : random.chance(0.1) ? EVERYONE : id('g', GROUPS),
        ...(random.chance(0.8) ? { ipv4: `198.51.100.${String(random.below(4))}` } : {}),
        ...(random.chance(0.5) ? { ipv6: `2001:db8::${String(random.below(4))}` } : {}),
      });
      const put = gateway({
        id: key,
        regionId: id('r', REGIONS),
        draining: random.chance(0.2),
        endpoint: orNull(0.7, () => ({ host: `w${String(random.below(3))}.example.org`, port: 51_820 })),
        egress: Array.from({ length: random.below(4) }, egress),
        openvpnCertificate: orNull(0.5, () => `certificate ${String(random.below(2))}`),
      });
      return changed(model, 'gateways', key, removed ? undefined : put);
    }
    case 5: {
      const key = id('s', RESOURCES);
      const put = resource({
        id: key,
        kind: (['internet', 'network', 'name'] as const)[random.below(3)] ?? 'network',
        prefixes: Array.from({ length: random.below(3) }, () => `10.${String(random.below(3))}.0.0/16`),
        domain: random.chance(0.8) ? 'db.example.org' : null,
        services: random.chance(0.5) ? [] : [{ protocol: 'tcp', ports: [{ from: 443, to: 443 + random.below(3) }] }],
      });
      return changed(model, 'resources', key, removed ? undefined : put);
    }
    default: {
      const key = id('l', RULES);
      const put = rule({
        id: key,
        name: `${key} ${String(random.below(2))}`,
        enabled: random.chance(0.85),
        groups: groups(),
        resources: some('s', RESOURCES),
        gateways: random.chance(0.5) ? [] : some('w', GATEWAYS),
      });
      return changed(model, 'rules', key, removed ? undefined : put);
    }
  }
}
