/** Routes to the tunnel beside those of the pools: networks behind devices, and the largest packet to a device. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { until, type Process } from '@sallyport/netlab';
import type { PrivilegedAnswer, PrivilegedRequest } from '@sallyport/privileged';
import { ALLOWED, buildRig, configuration, device, INTERFACE, NAMES_UID, plan, reaches, startHelper } from './privileged-rig.ts'; // prettier-ignore
import type { Helper, Rig } from './privileged-rig.ts';

const BEHIND = ['10.9.0.0/24', 'fd09::/64'] as const;
const HOST_BEHIND = { 4: '10.9.0.5', 6: 'fd09::5' } as const;
const DEVICE = { 4: '10.77.0.2', 6: 'fd77::2' } as const;
const FAMILIES = [4, 6] as const;
/** Bytes that are sent at once: the kernel makes packets of it that are cut at the interface. */
const PIECE = 1_000_000;

let rig: Rig;
let helper: Helper;

before(async () => {
  rig = await buildRig();
  helper = startHelper(rig);
  await ask(configuration);
  await ask({ kind: 'enableForwarding' });
  await ask({ kind: 'setFirewall', plan: plan([device(2, ['staff']), device(3, [])]) });
});

after(async () => {
  helper.client.close();
  await helper.ended;
  await rig.laboratory.close();
});

async function ask(request: PrivilegedRequest): Promise<PrivilegedAnswer> {
  const answer = await helper.client.request(request);
  assert.deepEqual(answer.error, undefined);
  return answer;
}

const routes = async (family: 4 | 6, table: string): Promise<string> =>
  (await rig.gateway.run(['ip', `-${String(family)}`, 'route', 'show', 'table', table], { allowFailure: true })).stdout;

describe('networks behind devices', () => {
  before(async () => {
    // The device at the other end of the tunnel is a router too; of this test's tunnel it is also the only neighbour.
    await rig.devices.address('lo', '10.9.0.5/32', 'fd09::5/128');
    const [link] = JSON.parse(await rig.devices.ip('-json', 'link', 'show', 'up0')) as [{ address: string }];
    for (const address of Object.values(HOST_BEHIND))
      await rig.gateway.ip('neigh', 'replace', address, 'lladdr', link.address, 'dev', INTERFACE, 'nud', 'permanent');
    for (const [prefix, via] of [
      [BEHIND[0], '192.0.2.1'],
      [BEHIND[1], '2001:db8::1'],
    ] as const)
      await rig.inside.route(prefix, 'via', via);
    await rig.devices.nft(`table inet count {
      chain in {
        type filter hook prerouting priority 0
        ip daddr ${BEHIND[0]} counter
        ip6 daddr ${BEHIND[1]} counter
      }
    }\n`);
  });

  /** That have come by the tunnel for what lies behind. */
  const packets = async (): Promise<number> => {
    const { stdout } = await rig.devices.run(['nft', 'list', 'table', 'inet', 'count']);
    return [...stdout.matchAll(/packets (\d+)/g)].reduce((sum, [, count]) => sum + Number(count), 0);
  };
  /** Where a user's packets to what lies behind go. */
  const wayOf = async (family: 4 | 6, uid: number): Promise<string> => {
    const argv = ['ip', 'route', 'get', HOST_BEHIND[family], 'uid', String(uid)];
    const { stdout, stderr } = await rig.gateway.run(argv, { allowFailure: true });
    return stdout === '' ? stderr : stdout;
  };

  test('are reached by the name server of this machine’s own, and from elsewhere by nobody, with or without a filter', async () => {
    const { refused } = await ask({ kind: 'setNetworks', networks: BEHIND, unreachable: [] });
    await ask({ kind: 'setFirewall', plan: plan([{ ...device(2, ['staff']), networks: BEHIND }]) });
    assert.deepEqual(refused, []);
    for (const family of FAMILIES) {
      assert.doesNotMatch(await wayOf(family, 0), new RegExp(INTERFACE), 'the machine’s other traffic');
      assert.match(await wayOf(family, NAMES_UID), new RegExp(`dev ${INTERFACE}`), 'the name server');
      assert.ok(!(await reaches(rig.inside, HOST_BEHIND[family])), 'somebody else');
    }
    await rig.gateway.nft('flush ruleset');
    const before = await packets();
    for (const family of FAMILIES) await reaches(rig.inside, HOST_BEHIND[family]);
    assert.equal(await packets(), before, 'packets from elsewhere reached the tunnel');
  });

  test('that this machine or a route of its has are refused, and the others are routed', async () => {
    const { refused } = await ask({
      kind: 'setNetworks',
      unreachable: [],
      networks: ['192.0.2.0/25', '10.9.0.0/24', '198.51.100.0/24', '2001:db8:a::/64', '10.77.9.0/24'],
    });
    assert.deepEqual(
      refused?.map(({ network, meets }) => `${network} ${meets}`),
      [
        '192.0.2.0/25 192.0.2.1',
        `198.51.100.0/24 ${ALLOWED[4]}/32`,
        `2001:db8:a::/64 ${ALLOWED[6]}/128`,
        '10.77.9.0/24 10.77.0.0/16',
      ],
    );
    // Those that were refused lead nowhere.
    const [routed, ...nowhere] = (await routes(4, '51920')).trim().split(/\s*\n/).sort();
    assert.match(routed ?? '', new RegExp(`^10\\.9\\.0\\.0/24 dev ${INTERFACE}`));
    assert.deepEqual(nowhere, ['10.77.9.0/24', '192.0.2.0/25', '198.51.100.0/24'].map((network) => `unreachable ${network}`)); // prettier-ignore
    assert.match(await routes(6, '51920'), /^unreachable 2001:db8:a::\/64[^\n]*\n$/);
    // A default route, or the halves of one that VPN clients make, is in nobody's way.
    await rig.gateway.route('0.0.0.0/1', 'via', '192.0.2.2');
    await rig.gateway.route('0.0.0.0/0', 'via', '192.0.2.2');
    assert.deepEqual(
      (await ask({ kind: 'setNetworks', networks: ['10.9.0.0/24', '10.8.0.0/24'], unreachable: [] })).refused,
      [],
    );
    assert.deepEqual((await ask({ kind: 'setNetworks', networks: [], unreachable: [] })).refused, []);
    assert.equal(await routes(4, '51920'), '');
  });

  test('that are elsewhere lead nowhere, whoever has them here', async () => {
    await ask({ kind: 'setNetworks', networks: BEHIND, unreachable: [] });
    await ask({ kind: 'setNetworks', networks: [], unreachable: [...BEHIND, '192.0.2.0/24'] });
    for (const family of FAMILIES) assert.match(await routes(family, '51920'), /^unreachable (10\.9\.0\.0|fd09::)/);
    const to = ['192.0.2.2', 'from', '10.77.0.2', 'iif', INTERFACE, 'mark', '0x8000000'];
    const { stderr } = await rig.gateway.run(['ip', 'route', 'get', ...to], { allowFailure: true });
    assert.match(stderr, /No route|unreachable/);
    assert.ok(await reaches(rig.gateway, '192.0.2.2'), 'the machine itself gets there');
    await ask({ kind: 'setNetworks', networks: [], unreachable: [] });
  });
});

describe('the largest packet to a device', () => {
  let server: Process;

  before(async () => {
    await ask({ kind: 'setFirewall', plan: plan([device(2, ['staff']), device(3, [])]) });
    // Sends as much as it is asked for, in one piece.
    const serve = `
      require('node:net').createServer((socket) => {
        socket.on('data', (text) => socket.write(Buffer.alloc(Number(text))));
        socket.on('error', () => undefined);
      }).listen({ port: 8080, host: '::', ipv6Only: false }, () => console.log('ready'));`;
    server = await rig.inside.start([process.execPath, '--eval', serve]);
    await until('the server', () => server.stdout.includes('ready'));
  });

  /** A connection of the device's through the gateway. */
  async function connectTo(family: 4 | 6): Promise<{ fetch: () => Promise<void>; end: () => void }> {
    const client = `
      const socket = require('node:net').connect({ host: '${ALLOWED[family]}', port: 8080, localAddress: '${DEVICE[family]}' }, () => console.log('connected'));
      let received = 0;
      socket.on('data', (bytes) => { received += bytes.length; console.log('received', received); });
      process.on('SIGUSR2', () => socket.write('${String(PIECE)}'));`;
    const started = await rig.devices.start([process.execPath, '--eval', client]);
    await until('the connection', () => started.stdout.includes('connected'));
    let total = 0;
    return {
      async fetch() {
        total += PIECE;
        started.signal('SIGUSR2');
        await until('all of it', () => started.stdout.includes(`received ${String(total)}\n`));
      },
      end: () => {
        started.signal('SIGTERM');
      },
    };
  }

  /** What a sender knows of the way to the device, which bears the gateway's address there. */
  async function knownMtu(family: 4 | 6): Promise<number | undefined> {
    const shown = await rig.inside.ip(
      'route',
      'get',
      family === 4 ? '192.0.2.1' : '2001:db8::1',
      'from',
      ALLOWED[family],
    );
    const mtu = /\bmtu (\d+)/.exec(shown)?.[1];
    return mtu === undefined ? undefined : Number(mtu);
  }

  for (const family of FAMILIES)
    test(`senders are told of it, in large pieces too, and connections begin smaller: IPv${String(family)}`, async () => {
      const connection = await connectTo(family);
      await connection.fetch();
      assert.equal(await knownMtu(family), undefined);

      await ask({ kind: 'setDeviceMtu', ipv4: DEVICE[4], ipv6: DEVICE[6], mtu: 1300 });
      await connection.fetch();
      assert.equal(await knownMtu(family), 1300, 'the gateway has told it');
      connection.end();

      await rig.inside.ip(`-${String(family)}`, 'route', 'flush', 'cache');
      const later = await connectTo(family);
      await later.fetch();
      const { stdout } = await rig.inside.run(['ss', '-tinH', 'state', 'established', 'sport', '=', ':8080']);
      const mss = [...stdout.matchAll(/\bmss:(\d+)/g)].map((match) => Number(match[1]));
      assert.ok(mss.length > 0 && Math.min(...mss) <= 1300 - (family === 4 ? 40 : 60), stdout);
      assert.equal(await knownMtu(family), undefined, 'without a packet that was too large');
      later.end();

      await ask({ kind: 'setDeviceMtu', ipv4: DEVICE[4], ipv6: DEVICE[6], mtu: null });
      assert.ok(!(await routes(family, 'main')).includes(`${DEVICE[family]} dev ${INTERFACE}`));
    });

  test('follows a device’s addresses, and is for those of the tunnel alone', async () => {
    await ask({ kind: 'setDeviceMtu', ipv4: DEVICE[4], ipv6: DEVICE[6], mtu: 1300 });
    await ask({ kind: 'setDeviceMtu', ipv4: DEVICE[4], ipv6: 'fd77::9', mtu: 1310 });
    assert.match(await routes(4, 'main'), /10\.77\.0\.2 dev tun9 .*mtu lock 1310/);
    assert.match(await routes(6, 'main'), /fd77::9 dev tun9 .*mtu lock 1310/);
    assert.doesNotMatch(await routes(6, 'main'), /fd77::2 /);
    // What is gone already is no fault.
    await rig.gateway.ip('route', 'delete', `${DEVICE[4]}/32`, 'dev', INTERFACE);
    await ask({ kind: 'setDeviceMtu', ipv4: DEVICE[4], ipv6: 'fd77::9', mtu: null });
    assert.doesNotMatch(await routes(6, 'main'), /fd77::9 /);
  });
});

test('what failed is no route, and is made when it is asked for again', async () => {
  const requests = [
    { kind: 'setNetworks', networks: BEHIND, unreachable: [] },
    { kind: 'setDeviceMtu', ipv4: DEVICE[4], ipv6: DEVICE[6], mtu: 1300 },
  ] as const;
  // Nothing can be routed to an interface that is down.
  await rig.gateway.ip('link', 'set', 'dev', INTERFACE, 'down');
  for (const request of requests) assert.notEqual((await helper.client.request(request)).error, undefined);
  await rig.gateway.ip('link', 'set', 'dev', INTERFACE, 'up');
  await ask(configuration);
  for (const request of requests) await ask(request);
  for (const family of FAMILIES) {
    assert.match(await routes(family, '51920'), new RegExp(`^(10\\.9|fd09)[^\\n]* dev ${INTERFACE}[^\\n]*\\n$`));
    assert.match(await routes(family, 'main'), /(10\.77\.0\.2|fd77::2) .*mtu lock 1300/);
  }
});

test('all of it goes with the rest', async () => {
  await ask({ kind: 'setNetworks', networks: [BEHIND[0]], unreachable: ['10.8.0.0/24', 'fd08::/64'] });
  await ask({ kind: 'tearDown' });
  assert.equal(await routes(4, '51920'), '');
  assert.equal(await routes(6, '51920'), '');
  for (const family of ['-4', '-6']) assert.doesNotMatch(await rig.gateway.ip(family, 'rule', 'show'), /51920/, family);
});
