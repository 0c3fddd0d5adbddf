import { until, type NetworkNamespace, type Process } from '@sallyport/netlab';
import type { Outcome, Scenario, Stage } from '../scenario.ts';
import { drawOpenvpn } from './openvpn/picture.ts';
import { Person } from './service/person.ts';
import { CUT_OFF_MS, Pulse } from './service/pulse.ts';
import { startService, type RunningService } from './service/servers.ts';
import { ADDRESSES, buildServiceWorld, seenFrom, startMirror, type ServiceWorld } from './service/world.ts';

const PASSWORDS = { admin: 'correct horse battery', alice: 'staple of alice, long', bob: 'staple of bob, longer' };
/** A client tries each way for 10 s. */
const CONNECT_MS = 60_000;

/** OpenVPN's own client at the gateway: by certificate over UDP, by password over TCP, and cut off. */
export const openvpn: Scenario = {
  name: 'openvpn',
  about: "OpenVPN's own client: profiles, certificate and password, UDP and TCP, and a device that is removed",
  async run(stage) {
    const { steps } = stage;
    const world = await steps.step('Machines: three people, a gateway, the internet', () =>
      buildServiceWorld(stage.laboratory),
    );
    await startMirror(world.internet);
    const running = await steps.step('Gateway 1: sallyport server', () => startService(world));
    const people = await steps.step('Administrator and users, by the command line', () => organise(world, running));
    const facts = await play(stage, world, people);
    return { facts, picture: drawOpenvpn(facts), faults: faultsOf(facts) };
  },
};

interface People {
  readonly admin: Person;
  readonly alice: Person;
  readonly bob: Person;
}

async function organise(world: ServiceWorld, { link, url, fingerprint }: RunningService): Promise<People> {
  const admin = new Person('admin', world.admin);
  const pinned = ['--fingerprint', fingerprint];
  await admin.run(['setup', '--user', 'admin', ...pinned], `${link}\n${PASSWORDS.admin}\n`);
  const people = { admin, alice: new Person('alice', world.alice), bob: new Person('bob', world.bob) };
  for (const name of ['alice', 'bob'] as const) {
    await admin.run(['user', 'create', name]);
    const invitation = await admin.json<{ url: string }>(['invitation', 'create', name]);
    await people[name].run(['invitation', 'accept', ...pinned], `${invitation.url}\n${PASSWORDS[name]}\n`);
    await people[name].run(['login', url, '--user', name, ...pinned], `${PASSWORDS[name]}\n`);
  }
  const [gateway] = (await admin.json<{ items: { name: string }[] }>(['gateway', 'list'])).items;
  const egress = [{ groupId: null, ipv4: ADDRESSES.gateway1.ipv4, ipv6: ADDRESSES.gateway1.ipv6 }];
  await admin.run(['gateway', 'update', gateway?.name ?? '', '--egress', JSON.stringify(egress)]);
  return people;
}

async function play({ steps, laboratory }: Stage, world: ServiceWorld, { admin, alice, bob }: People) {
  const { internet } = ADDRESSES;
  const profile = `${laboratory.folder}/alice.ovpn`;
  const device = await steps.step('alice makes a profile: the key is made on her machine', () =>
    alice.json<{ id: string }>(['profile', 'openvpn', 'laptop', '--output', profile]),
  );
  const laptop = await steps.step('openvpn --config alice.ovpn', () => connect(world.alice, [profile]), says);
  const seen = await steps.step('What the internet sees of alice', () => addressesSeen(world.alice));

  const byPassword = `${laboratory.folder}/bob.ovpn`;
  await bob.run(['profile', 'openvpn', 'tablet', '--login', 'password', '--output', byPassword]);
  await world.provider.nft(
    `table inet demonstration {
      chain forward {
        type filter hook forward priority filter; policy accept;
        ip saddr ${BOB} meta l4proto udp drop
        ip saddr ${ADDRESSES.alice} ip daddr ${internet.ipv4} drop comment "once it is cut off, openvpn lets her out directly"
      }
    }\n`,
  );
  const wrong = await steps.step('bob, whose network lets no UDP pass, with a wrong password', () =>
    refused(world.bob, [byPassword, '--auth-user-pass', login(world, 'wrong', `bob\nnot my password\n`)]),
  );
  const login4 = login(world, 'bob', `bob\n${PASSWORDS.bob}\n`);
  const tablet = await steps.step(
    'And with the right one: by TCP',
    () => connect(world.bob, [byPassword, '--auth-user-pass', login4]),
    says,
  );
  const seenOfBob = await steps.step('What the internet sees of bob', () => addressesSeen(world.bob));

  const pulse = await Pulse.start(world.alice, internet.ipv4);
  await until('a pulse', () => pulse.beats > 20);
  const revoked = await steps.step(
    "alice's device is removed while she transfers",
    async () => {
      const { sentAt } = await admin.removeDevice(device.id);
      return pulse.stopAfterCutOff(sentAt);
    },
    (milliseconds) => `cut off after ${milliseconds.toFixed(0)} ms`,
  );
  const told = await until('the client hears why', () => AUTH_FAILED.exec(laptop.process.stdout)?.[1], 20_000).catch(
    () => '',
  );
  await steps.step('bob goes', () => tablet.process.stop());
  return {
    client: laptop.client,
    transport: laptop.transport,
    cipher: laptop.cipher,
    destinationSawIpv4: seen.ipv4,
    destinationSawIpv6: seen.ipv6,
    gatewayIpv4: ADDRESSES.gateway1.ipv4,
    gatewayIpv6: ADDRESSES.gateway1.ipv6,
    wrongPasswordRefused: wrong,
    passwordTransport: tablet.transport,
    passwordCipher: tablet.cipher,
    passwordDestinationSawIpv4: seenOfBob.ipv4,
    passwordDestinationSawIpv6: seenOfBob.ipv6,
    revokedMilliseconds: Math.max(0, Math.round(revoked)),
    toldWhenRevoked: told,
  };
}

export type OpenvpnFacts = Awaited<ReturnType<typeof play>>;

const BOB = '192.0.2.26';
const AUTH_FAILED = /AUTH_FAILED,?([^\n]*)/;
/** Some say it a moment after they have connected. */
const CIPHER = /Data Channel(?:: cipher|.*Cipher) '([^']+)'/;

/** What openvpn says of a connection. */
interface Connected {
  readonly process: Process;
  readonly client: string;
  readonly transport: string;
  readonly cipher: string;
}

async function connect(machine: NetworkNamespace, [profile = '', ...more]: readonly string[]): Promise<Connected> {
  const process = await machine.start(['openvpn', '--config', profile, ...more]);
  await until(
    'openvpn is connected',
    () => {
      if (process.exit !== undefined) throw new Error(`openvpn ended:\n${process.stdout}${process.stderr}`);
      return process.stdout.includes('Initialization Sequence Completed') && CIPHER.test(process.stdout);
    },
    CONNECT_MS,
  ).catch((cause: unknown) => {
    throw new Error(`openvpn did not connect:\n${process.stdout}`, { cause });
  });
  const said = (pattern: RegExp): string => [...process.stdout.matchAll(pattern)].at(-1)?.[1] ?? '';
  return {
    process,
    client: said(/^\S+ \S+ (OpenVPN \S+) /gm),
    transport: said(/(UDP|TCP)(?:v[46])?(?:_CLIENT)? link remote/g),
    cipher: said(new RegExp(CIPHER, 'g')),
  };
}

/** Whether openvpn was told that it may not come in. */
async function refused(machine: NetworkNamespace, [profile = '', ...more]: readonly string[]): Promise<boolean> {
  const process = await machine.start(['openvpn', '--config', profile, ...more, '--auth-retry', 'none']);
  try {
    return await until(
      'openvpn is refused',
      () => AUTH_FAILED.test(process.stdout) || (process.exit === undefined ? undefined : false),
      CONNECT_MS,
    );
  } finally {
    await process.stop();
  }
}

function login({ laboratory }: ServiceWorld, name: string, text: string): string {
  return laboratory.file(`${name}.login`, text);
}

async function addressesSeen(machine: NetworkNamespace): Promise<{ ipv4: string; ipv6: string }> {
  const { ipv4, ipv6 } = ADDRESSES.internet;
  return {
    ipv4: await until('a page by IPv4', () => seenFrom(machine, ipv4)),
    ipv6: await until('a page by IPv6', () => seenFrom(machine, ipv6)),
  };
}

function says({ client, transport, cipher }: Connected): string {
  return `${client}, ${transport}, ${cipher}`;
}

function faultsOf(facts: OpenvpnFacts): Outcome['faults'] {
  const seen = (address: string): string => address || 'nobody';
  const checks: readonly (readonly [boolean, string])[] = [
    [facts.client.startsWith('OpenVPN '), 'the client did not say what it is'],
    [facts.transport === 'UDP', `the first connection went by ${facts.transport || 'nothing'}`],
    [facts.cipher !== '', 'the client did not say which cipher it uses'],
    [facts.destinationSawIpv4 === facts.gatewayIpv4, `the internet saw ${seen(facts.destinationSawIpv4)} by IPv4`],
    [facts.destinationSawIpv6 === facts.gatewayIpv6, `the internet saw ${seen(facts.destinationSawIpv6)} by IPv6`],
    [facts.wrongPasswordRefused, 'a wrong password was not refused'],
    [facts.passwordTransport === 'TCP', `the second connection went by ${facts.passwordTransport || 'nothing'}`],
    [
      facts.passwordDestinationSawIpv4 === facts.gatewayIpv4,
      `by TCP the internet saw ${seen(facts.passwordDestinationSawIpv4)} by IPv4`,
    ],
    [
      facts.passwordDestinationSawIpv6 === facts.gatewayIpv6,
      `by TCP the internet saw ${seen(facts.passwordDestinationSawIpv6)} by IPv6`,
    ],
    [facts.revokedMilliseconds <= CUT_OFF_MS, `cutting off took ${String(facts.revokedMilliseconds)} ms`],
  ];
  return checks.flatMap(([good, fault]) => (good ? [] : [fault]));
}
