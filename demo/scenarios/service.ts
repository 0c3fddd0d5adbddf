import { until } from '@sallyport/netlab';
import type { Outcome, Scenario, Stage } from '../scenario.ts';
import { App, Person } from './service/person.ts';
import { drawService } from './service/picture.ts';
import { CUT_OFF_MS, Pulse } from './service/pulse.ts';
import { joinGateway, startService, type RunningService } from './service/servers.ts';
import { admitOnly, ADDRESSES, buildServiceWorld, seenFrom, startMirror, type ServiceWorld } from './service/world.ts';

const PASSWORDS = { admin: 'correct horse battery', alice: 'staple of alice, long', bob: 'staple of bob, longer' };
const ALICE_ROUTER = { ipv4: '192.0.2.9', ipv6: '2001:db8:1:1::1' };
const BOB_ROUTER = { ipv4: '192.0.2.25', ipv6: '2001:db8:1:2::1' };

/** A service with two gateways: people log in, get an address, leave through a gateway, and are cut off. */
export const service: Scenario = {
  name: 'service',
  about: 'the whole service: setup, login, devices, policy, egress, a second region, and being cut off',
  async run(stage) {
    const { steps } = stage;
    const world = await steps.step('Machines: three people, two gateways, the internet, an internal system', () =>
      buildServiceWorld(stage.laboratory),
    );
    for (const host of [world.internet, world.internal, world.privateHost]) await startMirror(host);
    await admitOnly(world.internal, ADDRESSES.egress.ipv4, ADDRESSES.egress.ipv6);

    const running = await steps.step(
      'Gateway 1: sallyport server',
      () => startService(world),
      ({ readyMilliseconds }) => `ready after ${String(readyMilliseconds)} ms`,
    );
    const people = await steps.step('Administrator, groups, users, policy, by the command line', () =>
      organise(world, running),
    );
    const facts = await play(stage, world, running, people);
    return { facts, picture: drawService(facts), faults: faultsOf(facts) };
  },
};

interface People {
  readonly admin: Person;
  readonly alice: Person;
  readonly bob: Person;
}

/** alice is in a group with an egress address and a private network of its own; bob is in none. */
async function organise(world: ServiceWorld, { link, url, fingerprint }: RunningService): Promise<People> {
  const admin = new Person('admin', world.admin);
  const pinned = ['--fingerprint', fingerprint];
  await admin.run(['setup', '--user', 'admin', ...pinned], `${link}\n${PASSWORDS.admin}\n`);
  await admin.run(['group', 'create', 'finance']);
  const people = { admin, alice: new Person('alice', world.alice), bob: new Person('bob', world.bob) };
  for (const name of ['alice', 'bob'] as const) {
    await admin.run(['user', 'create', name, ...(name === 'alice' ? ['--groups', 'finance'] : [])]);
    const invitation = await admin.json<{ url: string }>(['invitation', 'create', name]);
    await people[name].run(['invitation', 'accept', ...pinned], `${invitation.url}\n${PASSWORDS[name]}\n`);
    await people[name].run(['login', url, '--user', name, ...pinned], `${PASSWORDS[name]}\n`);
  }
  const prefixes = '10.50.0.0/24,fd50::/64';
  await admin.run([
    'resource',
    'create',
    'ledger',
    '--kind',
    'network',
    '--prefixes',
    prefixes,
    '--services',
    'tcp/80',
  ]);
  await admin.run(['rule', 'create', 'finance-ledger', '--groups', 'finance', '--resources', 'ledger']);
  const [gateway] = (await admin.json<{ items: { name: string }[] }>(['gateway', 'list'])).items;
  const { id: finance } = await admin.json<{ id: string }>(['group', 'show', 'finance']);
  const egress = [
    { groupId: finance, ...ADDRESSES.egress },
    { groupId: null, ipv4: ADDRESSES.gateway1.ipv4, ipv6: ADDRESSES.gateway1.ipv6 },
  ];
  await admin.run(['gateway', 'update', gateway?.name ?? '', '--egress', JSON.stringify(egress)]);
  for (const [name, expect] of [
    ['alice', 'allow'],
    ['bob', 'deny'],
  ] as const)
    await admin.run([
      ...['policy-test', 'create', `${name} and the ledger`, name, ADDRESSES.privateHost.ipv4],
      ...['--protocol', 'tcp', '--port', '80', '--expect', expect],
    ]);
  return people;
}

async function play({ steps, device }: Stage, world: ServiceWorld, running: RunningService, people: People) {
  const file = `${world.laboratory.folder}/alice.conf`;
  const text = await steps.step('alice adds a device and gets its configuration', async () => {
    await people.alice.run(['device', 'new', 'laptop', '--output', file]);
    return (await world.alice.run(['cat', file])).stdout;
  });
  const alice = await App.start(world.alice, device, text, ALICE_ROUTER);
  const bob = await App.start(world.bob, device, await people.bob.run(['device', 'new', 'phone']), BOB_ROUTER);
  await steps.step('Both connect', () => Promise.all([alice.connected(), bob.connected()]));

  const { internet, internal, privateHost } = ADDRESSES;
  const first = await steps.step('What the internet and the internal systems see', async () => ({
    aliceIpv4: await seenFrom(world.alice, internet.ipv4),
    aliceIpv6: await seenFrom(world.alice, internet.ipv6),
    bobIpv4: await seenFrom(world.bob, internet.ipv4),
    bobIpv6: await seenFrom(world.bob, internet.ipv6),
    internalByAlice: await seenFrom(world.alice, internal.ipv4),
    internalByAliceIpv6: await seenFrom(world.alice, internal.ipv6),
    internalByBob: await seenFrom(world.bob, internal.ipv4),
    internalFromOutside: await seenFrom(world.admin, internal.ipv4),
    outsideIpv4: await seenFrom(world.admin, internet.ipv4),
    ledgerByAlice: await seenFrom(world.alice, privateHost.ipv4),
    ledgerByAliceIpv6: await seenFrom(world.alice, privateHost.ipv6),
    ledgerByBob: await seenFrom(world.bob, privateHost.ipv4),
    ledgerByBobIpv6: await seenFrom(world.bob, privateHost.ipv6),
  }));
  const policyChangeRefused = await steps.step('A change that a policy test forbids', () => breakPolicy(people.admin));

  await steps.step('A second gateway, in Oslo, joins with a one-time token', () =>
    joinGateway(world, running, people.admin),
  );
  const oslo = await steps.step('bob moves there with the same device and address', async () => {
    const template = await people.bob.run(['me', 'device', 'config', 'phone', '--gateway', 'oslo']);
    await bob.move(template);
    await until(
      'bob by way of Oslo',
      async () => (await seenFrom(world.bob, internet.ipv4)) === ADDRESSES.gateway2.ipv4,
    );
    return { ipv4: await seenFrom(world.bob, internet.ipv4), ipv6: await seenFrom(world.bob, internet.ipv6) };
  });

  const pulse = await Pulse.start(world.alice, internet.ipv4);
  await until('a pulse', () => pulse.beats > 20);
  const cut = await steps.step(
    'alice is disabled while she transfers',
    async () => {
      const { sentAt } = await people.admin.changeUser('alice', { disabled: true });
      return pulse.stopAfterCutOff(sentAt);
    },
    (milliseconds) => `cut off after ${milliseconds.toFixed(0)} ms`,
  );
  const afterwards = await seenFrom(world.alice, internet.ipv4);
  return {
    readyMilliseconds: running.readyMilliseconds,
    destinationSawIpv4: first.bobIpv4 ?? '',
    destinationSawIpv6: first.bobIpv6 ?? '',
    gatewayIpv4: ADDRESSES.gateway1.ipv4,
    gatewayIpv6: ADDRESSES.gateway1.ipv6,
    clientIpv4: ADDRESSES.alice,
    groupEgressSawIpv4: first.aliceIpv4 ?? '',
    groupEgressSawIpv6: first.aliceIpv6 ?? '',
    groupEgressIpv4: ADDRESSES.egress.ipv4,
    groupEgressIpv6: ADDRESSES.egress.ipv6,
    internalReachedByGroup: first.internalByAlice !== undefined && first.internalByAliceIpv6 !== undefined,
    internalRefusedToOthers: first.internalByBob === undefined,
    internalRefusedFromOutside: first.internalFromOutside === undefined && first.outsideIpv4 !== undefined,
    privateReachedByGroup: first.ledgerByAlice !== undefined && first.ledgerByAliceIpv6 !== undefined,
    privateRefusedToOthers: first.ledgerByBob === undefined && first.ledgerByBobIpv6 === undefined,
    policyChangeRefused,
    secondRegionSawIpv4: oslo.ipv4 ?? '',
    secondRegionSawIpv6: oslo.ipv6 ?? '',
    secondGatewayIpv4: ADDRESSES.gateway2.ipv4,
    secondGatewayIpv6: ADDRESSES.gateway2.ipv6,
    cutOffMilliseconds: Math.max(0, Math.round(cut)),
    reachedAfterCutOff: afterwards !== undefined,
  };
}

export type ServiceFacts = Awaited<ReturnType<typeof play>>;

/** Gives everybody the ledger, which bob's policy test forbids; true when the service refuses. */
async function breakPolicy(admin: Person): Promise<boolean> {
  const attempt = await admin.attempt([
    'rule',
    'create',
    'all-ledger',
    '--groups',
    'everyone',
    '--resources',
    'ledger',
  ]);
  return attempt.code !== 0 && attempt.stderr.includes('bob and the ledger');
}

function faultsOf(facts: ServiceFacts): Outcome['faults'] {
  const checks: readonly (readonly [boolean, string])[] = [
    [
      facts.destinationSawIpv4 === facts.gatewayIpv4,
      `the destination saw ${facts.destinationSawIpv4 || 'nobody'} by IPv4`,
    ],
    [
      facts.destinationSawIpv6 === facts.gatewayIpv6,
      `the destination saw ${facts.destinationSawIpv6 || 'nobody'} by IPv6`,
    ],
    [
      facts.groupEgressSawIpv4 === facts.groupEgressIpv4,
      `the group left with ${facts.groupEgressSawIpv4 || 'nothing'}`,
    ],
    [
      facts.groupEgressSawIpv6 === facts.groupEgressIpv6,
      `the group left with ${facts.groupEgressSawIpv6 || 'nothing'}`,
    ],
    [facts.internalReachedByGroup, 'the group does not reach the internal system'],
    [facts.internalRefusedToOthers, 'others reach the internal system'],
    [
      facts.internalRefusedFromOutside,
      'the internal system is reached from outside, or outside reaches nothing at all',
    ],
    [facts.privateReachedByGroup, 'the group does not reach the private network'],
    [facts.privateRefusedToOthers, 'others reach the private network'],
    [facts.policyChangeRefused, 'a change was made that a policy test forbids'],
    [
      facts.secondRegionSawIpv4 === facts.secondGatewayIpv4,
      `by way of Oslo: ${facts.secondRegionSawIpv4 || 'nothing'}`,
    ],
    [
      facts.secondRegionSawIpv6 === facts.secondGatewayIpv6,
      `by way of Oslo: ${facts.secondRegionSawIpv6 || 'nothing'}`,
    ],
    [facts.cutOffMilliseconds <= CUT_OFF_MS, `cutting off took ${String(facts.cutOffMilliseconds)} ms`],
    [!facts.reachedAfterCutOff, 'a disabled user still reaches the internet'],
  ];
  return checks.flatMap(([good, fault]) => (good ? [] : [fault]));
}
