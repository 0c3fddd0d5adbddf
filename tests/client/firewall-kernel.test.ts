/** The policy of every state, loaded into the kernel: what leaves the machine is what the plain reading lets out. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { rulesetOf, type FirewallPolicy } from '@sallyport/client';
import {
  Capture,
  dissect,
  until,
  withLaboratory,
  wire,
  type Laboratory,
  type NetworkNamespace,
  type Process,
} from '@sallyport/netlab';
import { mayLeave, type Packet } from './firewall-judge.ts';
import { configuration, homeNetwork, settings, World } from './fixtures.ts';

type Policy = FirewallPolicy | 'open';

function policies(): [string, Policy][] {
  const found: [string, Policy][] = [];
  const note = (name: string, world: World): void => {
    found.push([name, world.state.desired.firewall]);
  };
  const make = (more: Parameters<typeof settings>[0] = {}, via: string | null = null): World => {
    const world = new World();
    world.send({ kind: 'settings', settings: settings(more) });
    world.send({ kind: 'network', network: { ...homeNetwork, ipv6: true, onLink: ['192.168.1.0/24', 'fd77:1::/64', '198.51.0.0/16'] } }); // prettier-ignore
    world.run(1000);
    note(`disconnected ${JSON.stringify(more)}`, world);
    world.send({ kind: 'connect', target: via === null ? null : 'south', via });
    return world;
  };
  const world = make();
  note('connecting', world);
  world.run(5000, () => world.connected());
  note('connected', world);
  world.answers = () => false;
  world.run(5000, () => world.state.phase === 'reconnecting');
  note('reconnecting', world);
  world.run(200_000, () => world.state.phase === 'blocked');
  note('blocked', world);
  const tls = make({ transport: 'tls' });
  note('connecting over TLS', tls);
  const split = { networks: ['203.0.113.0/24', '2001:db8:cafe::/48'] } as const;
  for (const [name, more, via] of [
    ['two hops', {}, 'gateway-1'],
    ['with the local network', { allowLocalNetwork: true }, null],
    ['all but', { split: { mode: 'exclude', ...split } }, null],
    ['only', { split: { mode: 'include', ...split } }, null],
    ['only, lockdown', { lockdown: true, split: { mode: 'include', ...split } }, null],
    ['no kill switch', { killSwitch: false, allowDhcp: false }, null],
    ['no DHCP', { allowDhcp: false }, null],
  ] as const) {
    const one = make(more, via);
    one.run(5000, () => one.connected());
    note(`connected, ${name}`, one);
  }
  return found;
}

/** One of those that are the same text to the kernel. */
function distinctPolicies(): [string, Policy][] {
  const texts = new Set<string>();
  return policies().filter(([, policy]) => {
    const text = rulesetOf(policy);
    return !texts.has(text) && texts.add(text);
  });
}

const marks = [0, 0x5a11, 0x5a12, 0x5a13] as const;

/** Where each may go, by which interface the routes below send it. */
const destinations: readonly (readonly [string, number, string])[] = [
  ['198.51.100.1', 51_820, 'outer'],
  ['198.51.100.1', 51_821, 'outer'],
  ['198.51.100.1', 8444, 'outer'],
  ['198.51.100.2', 51_820, 'outer'],
  ['198.51.100.3', 51_820, 'outer'],
  ['2001:db8:100::1', 51_820, 'outer'],
  ['192.0.2.80', 443, 'outer'],
  ['192.0.2.80', 80, 'outer'],
  ['192.0.2.81', 443, 'outer'],
  ['192.0.2.9', 4433, 'outer'],
  ['192.0.2.9', 53, 'outer'],
  ['192.0.2.9', 853, 'outer'],
  ['2001:db8:9::9', 4433, 'outer'],
  ['2001:db8:9::9', 53, 'outer'],
  ['192.168.1.9', 9100, 'outer'],
  ['192.168.1.1', 53, 'outer'],
  ['fd77:1::9', 9100, 'outer'],
  ['fd77:1::9', 53, 'outer'],
  ['224.0.0.251', 5353, 'outer'],
  ['239.255.255.250', 1900, 'outer'],
  ['203.0.113.7', 4433, 'outer'],
  ['203.0.113.7', 53, 'outer'],
  ['2001:db8:cafe::7', 4433, 'outer'],
  ['10.77.0.9', 4433, 'sallyport'],
  ['10.77.0.9', 53, 'sallyport'],
  ['fd00:77::9', 4433, 'sallyport'],
  ['10.88.0.9', 51_820, 'sallyport-entry'],
  ['10.200.0.1', 51_819, 'sallyport-entry'],
];

function packets(): Packet[] {
  const all: Packet[] = [];
  for (const protocol of ['udp', 'tcp'] as const) {
    for (const [address, port, by] of destinations) {
      for (const mark of marks) {
        if (protocol === 'tcp' && address.startsWith('2')) if (Number(address.split('.')[0]) >= 224) continue;
        const family = address.includes(':') ? 6 : 4;
        // The packet is known by its own port, and gets its mark by it.
        const ownPort = 20_000 + 1000 * marks.indexOf(mark) + all.length;
        all.push({ protocol, family, address, port, ownPort, mark, interface: by });
      }
    }
  }
  const dhcp = { protocol: 'udp', family: 4, mark: 0, interface: 'outer', ownPort: 68, port: 67 } as const;
  return [...all, { ...dhcp, address: '255.255.255.255' }, { ...dhcp, address: '192.0.2.9', ownPort: 68 }];
}

const sender = `
import dgram from 'node:dgram'; import net from 'node:net';
const wait = (ms) => new Promise((done) => setTimeout(done, ms));
for await (const line of (await import('node:readline')).createInterface({ input: process.stdin })) {
  const open = [];
  for (const { protocol, family, address, port, ownPort, source } of JSON.parse(line)) {
    if (protocol === 'tcp') {
      const socket = net.connect({ host: address, port, localPort: ownPort, family });
      socket.on('error', () => {}); open.push(() => socket.destroy());
    } else {
      const socket = dgram.createSocket({ type: 'udp' + family, reuseAddr: true }); socket.on('error', () => {});
      socket.bind(ownPort, source, () => { if (address === '255.255.255.255') socket.setBroadcast(true); socket.send('x', port, address, () => {}); });
      open.push(() => socket.close());
    }
    if (open.length % 32 === 0) await wait(5);
  }
  await wait(200); for (const close of open) { try { close(); } catch {} }
  console.log('sent');
}`;

const marking = `table inet test_marks { chain o { type route hook output priority -400;
  ${marks.map((mark, index) => `meta l4proto { tcp, udp } th sport ${String(20_000 + 1000 * index)}-${String(20_999 + 1000 * index)} meta mark set ${String(mark)}`).join('\n')}
}
}`;

/** Answers by UDP with what it is sent. */
const echoing = `const s = require('dgram').createSocket('udp4');
  s.on('message', (m, { port, address }) => s.send(m, port, address, () => console.log('answered')));
  s.bind(9999, () => console.log('up'))`;

/** How many questions an echo has answered. */
function answersOf({ stdout }: Process): number {
  return stdout.split('answered').length - 1;
}

async function machine(laboratory: Laboratory): Promise<{ client: NetworkNamespace; outside: NetworkNamespace }> {
  const client = await laboratory.namespace('client');
  const outside = await laboratory.namespace('outside');
  const addresses = ['192.168.1.2/24', 'fd77:1::2/64', '2001:db8:1::2/64'];
  await wire({ namespace: client, name: 'outer', addresses }, { namespace: outside, name: 'near', addresses: ['192.168.1.1/24', '192.168.1.9/24', 'fd77:1::9/64', '2001:db8:1::1/64'] }); // prettier-ignore
  await wire({ namespace: client, name: 'sallyport', addresses: ['10.200.0.7/32', 'fd00:200::7/128'] }, { namespace: outside, name: 'tunnel', addresses: ['10.77.0.9/32', 'fd00:77::9/128'] }); // prettier-ignore
  await wire(
    { namespace: client, name: 'sallyport-entry', addresses: [] },
    { namespace: outside, name: 'entry', addresses: [] },
  );
  for (const name of ['sallyport', 'sallyport-entry']) await client.ip('link', 'set', name, 'arp', 'off');
  await client.route('0.0.0.0/0', 'via', '192.168.1.1');
  await client.route('::/0', 'via', '2001:db8:1::1');
  await client.route('224.0.0.0/4', 'dev', 'outer');
  await client.route('255.255.255.255/32', 'dev', 'outer');
  await client.route('10.77.0.0/16', 'dev', 'sallyport', 'src', '10.200.0.7');
  await client.route('fd00:77::/32', 'dev', 'sallyport', 'src', 'fd00:200::7');
  for (const host of ['10.88.0.9/32', '10.200.0.1/32']) await client.route(host, 'dev', 'sallyport-entry', 'src', '10.200.0.7'); // prettier-ignore
  await client.run(['nft', '-f', '-'], { input: marking });
  return { client, outside };
}

describe('the packet filter in the kernel', () => {
  it('lets out what the policy of each state names, and nothing else', async () => {
    await withLaboratory(async (laboratory) => {
      const { client, outside } = await machine(laboratory);
      const script = laboratory.file('sender.mjs', sender);
      const all = packets();
      const seenLetOut = new Set<string>();
      for (const [name, policy] of distinctPolicies()) {
        await client.run(['nft', '-f', '-'], { input: rulesetOf(policy) });
        const captures = await Promise.all(
          (['near', 'tunnel', 'entry'] as const).map((end) => Capture.start(outside, end)),
        );
        await client.run([process.execPath, script], { input: `${JSON.stringify(all)}\n` });
        const left = new Set<string>();
        for (const [index, { packets: caught, dropped }] of (
          await Promise.all(captures.map((capture) => capture.stop()))
        ).entries()) {
          // prettier-ignore
          assert.equal(dropped, 0);
          const by = ['outer', 'sallyport', 'sallyport-entry'][index] ?? '';
          for (const { bytes } of caught) {
            const packet = dissect(bytes);
            if (packet.kind !== 'ip' || packet.ports === undefined) continue;
            const own = all.some(({ ownPort }) => ownPort === packet.ports?.source);
            if (own)
              left.add(
                `${by} ${String(packet.ports.source)} ${packet.destination} ${String(packet.ports.destination)}`,
              );
          }
        }
        for (const packet of all) {
          const text = `${packet.interface} ${String(packet.ownPort)} ${packet.address} ${String(packet.port)}`;
          // A set of BlockLists has texts in another form for IPv6 than captures do: both are as Node writes them.
          const did = [...left].some((line) => line === text);
          const may = mayLeave(policy, packet);
          assert.equal(did, may, `${name}: ${packet.protocol} mark ${packet.mark.toString(16)} ${text}`);
          if (may) seenLetOut.add(text);
        }
      }
      // Each of them left at some time: had it been lost for another reason, this would have shown nothing.
      assert.equal(seenLetOut.size, new Set(all.map((packet) => `${packet.interface} ${String(packet.ownPort)} ${packet.address} ${String(packet.port)}`)).size); // prettier-ignore
    });
  });

  it('takes answers alone in, and nothing for the tunnel address beside the tunnel', async () => {
    await withLaboratory(async (laboratory) => {
      const { client, outside } = await machine(laboratory);
      const policy = policies().find(([name]) => name === 'connected')?.[1];
      assert.ok(policy !== undefined && policy !== 'open');
      const unblocked = { ...policy, blocking: false };
      await outside.ip('address', 'add', '198.51.100.1/32', 'dev', 'lo');
      // Counts behind our table.
      const names = ['a', 'b', 'c', 'a6', 'b6', 'c6', 'd'];
      const counting = `table inet test_counts { ${names.map((name) => `counter ${name} {}`).join('\n')}
        chain i { type filter hook input priority 100;
        ${names.map((name, index) => `udp sport ${String(7001 + index)} counter name ${name}`).join('\n')}
        udp sport 51820 counter name d
        }
        }`;
      await client.run(['nft', '-f', '-'], { input: counting });
      const counts = async (): Promise<Record<string, number>> => {
        const { stdout } = await client.run(['nft', '-j', 'list', 'counters', 'table', 'inet', 'test_counts']);
        const listed = (JSON.parse(stdout) as { nftables: { counter?: { name: string; packets: number } }[] }).nftables;
        return Object.fromEntries(listed.flatMap(({ counter }) => (counter ? [[counter.name, counter.packets]] : [])));
      };
      const send = async (from: NetworkNamespace, ...packets: [number, string, number][]): Promise<void> => {
        const script = laboratory.file('sender.mjs', sender);
        const texts = packets.map(([ownPort, address, port]) => ({ protocol: 'udp', family: address.includes(':') ? 6 : 4, address, port, ownPort })); // prettier-ignore
        await from.run([process.execPath, script], { input: `${JSON.stringify(texts)}\n` });
      };
      /** What came in: to the tunnel's address beside it, to the outer address, to the tunnel's through it; of both families. */
      const round = async (loaded: Policy): Promise<(number | undefined)[]> => {
        await client.run(['nft', '-f', '-'], { input: rulesetOf(loaded) });
        await client.run(['nft', 'reset', 'counters']);
        await outside.route('10.200.0.7/32', 'via', '192.168.1.2');
        await outside.route('fd00:200::7/128', 'via', '2001:db8:1::2');
        await send(outside, [7001, '10.200.0.7', 9999], [7002, '192.168.1.2', 9999], [7004, 'fd00:200::7', 9999], [7005, '2001:db8:1::2', 9999]); // prettier-ignore
        await outside.route('10.200.0.7/32', 'dev', 'tunnel', 'src', '10.77.0.9');
        await outside.route('fd00:200::7/128', 'dev', 'tunnel', 'src', 'fd00:77::9');
        const lladdr = ['lladdr', await linkAddress(client, 'sallyport')];
        for (const host of ['10.200.0.7', 'fd00:200::7']) await outside.ip('neighbour', 'replace', host, 'dev', 'tunnel', ...lladdr); // prettier-ignore
        await send(outside, [7003, '10.200.0.7', 9999], [7006, 'fd00:200::7', 9999]);
        const found = await counts();
        return names.slice(0, 6).map((name) => found[name]);
      };
      assert.deepEqual(await round('open'), [1, 1, 1, 1, 1, 1]);
      // Without the kill switch too: the tunnel's address is nobody's beside the tunnel.
      assert.deepEqual(await round(unblocked), [0, 1, 1, 0, 1, 1]);
      assert.deepEqual(await round({ ...unblocked, tunnelInterfaces: ['other'] }), [0, 1, 0, 0, 1, 0]);
      assert.deepEqual(await round(policy), [0, 0, 1, 0, 0, 1]);
      // The gateway's datagrams: not before there was one of ours, with our mark.
      const fromGateway = async (): Promise<void> => {
        const script = laboratory.file('gateway.mjs', `import dgram from 'node:dgram';
          const socket = dgram.createSocket('udp4'); socket.bind(51820, '198.51.100.1', () => socket.send('x', 21999, '192.168.1.2', () => setTimeout(() => process.exit(), 100)));`); // prettier-ignore
        await outside.run([process.execPath, script]);
      };
      await fromGateway();
      assert.equal((await counts())['d'], 0);
      await send(client, [21_999, '198.51.100.1', 51_820]);
      await fromGateway();
      assert.equal((await counts())['d'], 1);
    });
  });

  it('carries nothing into the tunnel that a neighbour sends with the tunnel’s own address', async () => {
    await withLaboratory(async (laboratory) => {
      const { client, outside } = await machine(laboratory);
      const policy = policies().find(([name]) => name === 'connected')?.[1];
      assert.ok(policy !== undefined && policy !== 'open');
      const ours = policy.tunnelAddresses.find((address) => address.includes(':')) ?? '';
      await client.run(['sysctl', '-qw', 'net.ipv6.conf.all.forwarding=1']);
      await outside.ip('address', 'add', `${ours}/128`, 'dev', 'lo', 'nodad');
      await outside.ip('route', 'add', 'fd00:77::a/128', 'via', '2001:db8:1::2', 'src', ours);
      const into = async (loaded: FirewallPolicy): Promise<number> => {
        await client.run(['nft', '-f', '-'], { input: rulesetOf(loaded) });
        const capture = await Capture.start(outside, 'tunnel');
        const script = laboratory.file('sender.mjs', sender);
        const packet = { protocol: 'udp', family: 6, address: 'fd00:77::a', port: 4242, ownPort: 7004 };
        await outside.run([process.execPath, script], { input: `${JSON.stringify([packet])}\n` });
        const { packets: caught } = await capture.stop();
        return caught.filter(({ bytes }) => {
          const seen = dissect(bytes);
          return seen.kind === 'ip' && seen.ports?.source === 7004;
        }).length;
      };
      // By themselves: what is forwarded from there would not pass either.
      const alone = { ...policy, outside: [] };
      assert.equal(await into({ ...alone, tunnelAddresses: [] }), 1, 'it would get there');
      assert.equal(await into(alone), 0);
    });
  });

  it('carries nothing into the tunnel that would tell the exit the machine’s other addresses', async () => {
    await withLaboratory(async (laboratory) => {
      const { client, outside } = await machine(laboratory);
      const script = laboratory.file('sender.mjs', sender);
      const tries = [
        { family: 4, address: '10.77.0.9', ownPort: 7021 },
        { family: 6, address: 'fd00:77::9', ownPort: 7022 },
        { family: 4, address: '10.77.0.9', ownPort: 7023, source: '192.168.1.2' },
        { family: 6, address: 'fd00:77::9', ownPort: 7024, source: '2001:db8:1::2' },
      ].map((packet) => ({ ...packet, protocol: 'udp', port: 4242 }));
      const into = async (policy: Policy): Promise<number[]> => {
        await client.run(['nft', '-f', '-'], { input: rulesetOf(policy) });
        const capture = await Capture.start(outside, 'tunnel');
        await client.run([process.execPath, script], { input: `${JSON.stringify(tries)}\n` });
        const { packets: caught } = await capture.stop();
        const seen = caught.map(({ bytes }) => dissect(bytes));
        return tries.map(({ ownPort }) => ownPort).filter((own) => seen.some((packet) => packet.kind === 'ip' && packet.ports?.source === own)); // prettier-ignore
      };
      assert.deepEqual(await into('open'), [7021, 7022, 7023, 7024]);
      for (const [name, policy] of policies()) {
        if (policy === 'open' || policy.tunnels.length === 0) continue;
        assert.deepEqual(await into(policy), [7021, 7022], name);
      }
    });
  });

  it('carries into the tunnel what containers send, and from networks around and behind the machine answers alone', async () => {
    await withLaboratory(async (laboratory) => {
      const { client, outside } = await machine(laboratory);
      const connected = policies().find(([name]) => name === 'connected')?.[1];
      assert.ok(connected !== undefined && connected !== 'open');
      const [office, container] = [await laboratory.namespace('office'), await laboratory.namespace('container')];
      await wire({ namespace: client, name: 'lan', addresses: ['10.88.1.1/24'] }, { namespace: office, name: 'eth0', addresses: ['10.88.1.10/24'] }); // prettier-ignore
      await wire({ namespace: client, name: 'docker0', addresses: ['172.17.0.1/16'] }, { namespace: container, name: 'eth0', addresses: ['172.17.0.2/16'] }); // prettier-ignore
      await office.route('0.0.0.0/0', 'via', '10.88.1.1');
      await container.route('0.0.0.0/0', 'via', '172.17.0.1');
      await outside.route('10.77.0.50/32', 'via', '192.168.1.2', 'src', '192.168.1.9');
      await outside.route('10.88.1.0/24', 'dev', 'tunnel', 'src', '10.77.0.9');
      await outside.ip('neighbour', 'replace', '10.88.1.10', 'dev', 'tunnel', 'lladdr', await linkAddress(client, 'sallyport')); // prettier-ignore
      await client.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
      const script = laboratory.file('sender.mjs', sender);
      const echo = await office.start([process.execPath, '-e', echoing]);
      await until('the office', () => echo.stdout.includes('up'));
      const senders = [
        ['a neighbour', outside, '10.77.0.50', 7011],
        ['the office', office, '10.77.0.50', 7012],
        ['a container', container, '10.77.0.50', 7013],
        ['from the tunnel', outside, '10.88.1.10', 7014],
      ] as const;
      /** What came out at the tunnel's other end. */
      const into = async (policy: FirewallPolicy, answers = 0): Promise<string[]> => {
        await client.run(['nft', '-f', '-'], { input: rulesetOf(policy) });
        const before = answersOf(echo);
        const capture = await Capture.start(outside, 'tunnel');
        await Promise.all(
          senders.map(([, from, address, ownPort]) => {
            const packet = { protocol: 'udp', family: 4, address, port: 9999, ownPort };
            return from.run([process.execPath, script], { input: `${JSON.stringify([packet])}\n` });
          }),
        );
        await until('the answer', () => answersOf(echo) >= before + answers);
        const { packets: caught } = await capture.stop();
        const seen = caught.map(({ bytes }) => dissect(bytes)).filter((packet) => packet.kind === 'ip');
        const answered = seen.some(({ source, ports }) => source === '10.88.1.10' && ports?.destination === 7014);
        return [
          ...senders.filter(([, , address, port]) => seen.some((packet) => packet.destination === address && packet.ports?.source === port)).map(([name]) => name), // prettier-ignore
          ...(answered ? ['its answer'] : []),
        ];
      };
      const policy = { ...connected, connector: ['10.88.1.0/24'] };
      assert.deepEqual(await into({ ...policy, connector: [], outside: [] }), ['a neighbour', 'the office', 'a container', 'from the tunnel']); // prettier-ignore
      assert.deepEqual(policy.outside, ['outer']);
      assert.deepEqual(await into(policy, 1), ['a container', 'from the tunnel', 'its answer']);
      // A name that can't be told to the packet filter: nobody sends anything there.
      assert.deepEqual(await into({ ...policy, outside: ['a"b'] }, 1), ['from the tunnel', 'its answer']);
    });
  });

  it('lays nothing open that the tunnel answers a container, whatever route the network slips in', async () => {
    await withLaboratory(async (laboratory) => {
      const { client, outside } = await machine(laboratory);
      const connected = policies().find(([name]) => name === 'connected')?.[1];
      assert.ok(connected !== undefined && connected !== 'open');
      const container = await laboratory.namespace('container');
      await wire({ namespace: client, name: 'docker0', addresses: ['172.17.0.1/16'] }, { namespace: container, name: 'eth0', addresses: ['172.17.0.2/16'] }); // prettier-ignore
      await container.route('0.0.0.0/0', 'via', '172.17.0.1');
      await client.run(['sysctl', '-qw', 'net.ipv4.ip_forward=1']);
      await client.masquerade('sallyport');
      await client.ip('link', 'set', 'sallyport', 'arp', 'on');
      await outside.route('10.200.0.7/32', 'dev', 'tunnel', 'src', '10.77.0.9');
      const echo = await outside.start([process.execPath, '-e', echoing]);
      await until('the echo', () => echo.stdout.includes('up'));
      const script = laboratory.file('sender.mjs', sender);
      const packet = { protocol: 'udp', family: 4, address: '10.77.0.9', port: 9999, ownPort: 7031 };
      /** Where its answer was seen. */
      const answered = async (policy: FirewallPolicy): Promise<string[]> => {
        await client.run(['nft', '-f', '-'], { input: rulesetOf(policy) });
        const captures = await Promise.all([Capture.start(outside, 'near'), Capture.start(container, 'eth0')]);
        const before = answersOf(echo);
        await container.run([process.execPath, script], { input: `${JSON.stringify([packet])}\n` });
        await until('the answer', () => answersOf(echo) > before);
        const caught = await Promise.all(captures.map((capture) => capture.stop()));
        const isAnswer = ({ bytes }: { readonly bytes: Uint8Array }): boolean => {
          const seen = dissect(bytes);
          return seen.kind === 'ip' && seen.ports?.destination === 7031;
        };
        return ['outer', 'container'].filter((_, end) => caught[end]?.packets.some(isAnswer));
      };
      assert.deepEqual(await answered(connected), ['container']);
      await client.route('172.17.0.2/32', 'via', '192.168.1.9', 'dev', 'outer');
      assert.deepEqual(await answered({ ...connected, outside: [] }), ['outer'], 'the attack is one');
      assert.deepEqual(await answered(connected), []);
    });
  });

  it('takes the group of programs beside the tunnel, where the kernel has the hierarchy', async () => {
    await withLaboratory(async (laboratory) => {
      const client = await laboratory.namespace('client');
      const policy = policies().find(([name]) => name === 'connected')?.[1];
      assert.ok(policy !== undefined && policy !== 'open');
      const group = `sallyport-test-${String(process.pid)}`;
      const text = rulesetOf({ ...policy, splitGroup: { path: group, level: 1 } });
      const script = `mount -t cgroup2 none /sys/fs/cgroup && mkdir /sys/fs/cgroup/${group} && nft -f - ; result=$?; nft list table inet sallyport_client; rmdir /sys/fs/cgroup/${group}; exit $result`;
      const { stdout } = await client.run(['unshare', '-m', 'sh', '-c', script], { input: text });
      assert.match(stdout, new RegExp(`socket cgroupv2 level 1 "${group}" meta mark set 0x0*5a13`));
    });
  });

  it('lets a program beside the tunnel speak with the outer address, though it chose the tunnel’s first', async () => {
    await withLaboratory(async (laboratory) => {
      const { client, outside } = await machine(laboratory);
      const policy = policies().find(([name]) => name === 'connected')?.[1];
      assert.ok(policy !== undefined && policy !== 'open');
      await outside.ip('address', 'add', '192.0.2.9/32', 'dev', 'lo');
      const mirror = `require('net').createServer((s) => s.on('error', () => {}).end(s.remoteAddress)).listen(4433, '0.0.0.0', () => console.log('up'))`;
      const mirrors = await outside.start([process.execPath, '-e', mirror]);
      await until('the destination', () => mirrors.stdout.includes('up'));
      // As the client's routes are: marked packets by `main`, all else into the tunnel.
      await client.run(['sysctl', '-qw', 'net.ipv4.conf.all.src_valid_mark=1', 'net.ipv4.conf.all.rp_filter=1']);
      await client.ip('route', 'add', 'default', 'dev', 'sallyport', 'src', '10.200.0.7', 'table', '51921');
      await client.ip('rule', 'add', 'priority', '5102', 'fwmark', '0x5a13', 'table', 'main');
      await client.ip('rule', 'add', 'priority', '5110', 'table', '51921');
      const group = `sallyport-test-${String(process.pid)}`;
      const folder = `/sys/fs/cgroup/${group}`;
      const connect = (seconds: number): string =>
        `timeout ${String(seconds)} bash -c 'exec 3<>/dev/tcp/192.0.2.9/4433 && cat <&3'`;
      for (const [more, expected] of [
        [{}, ['', '192.168.1.2']],
        [{ splitGroup: undefined }, ['', '']],
      ] as const) {
        const text = rulesetOf({ ...policy, splitGroup: { path: group, level: 1 }, ...more });
        const inGroup = connect(expected[1] === '' ? 2 : 30).replaceAll("'", `'"'"'`);
        const script = `mount -t cgroup2 none /sys/fs/cgroup && mkdir ${folder} && nft -f - || exit 1
          ${connect(2)}; echo; sh -c 'echo $$ >${folder}/cgroup.procs; exec ${inGroup}'; echo; until rmdir ${folder}; do sleep 0.05; done`;
        const { stdout, stderr } = await client.run(['unshare', '-m', 'sh', '-c', script], { input: text, allowFailure: true }); // prettier-ignore
        assert.deepEqual(stdout.split('\n').slice(0, 2), expected, stderr);
      }
    });
  });

  it('lets out what IPv6 needs to be found on the link, and nothing that IPv4 does not need', async () => {
    await withLaboratory(async (laboratory) => {
      const { client, outside } = await machine(laboratory);
      const script = laboratory.file('listener.mjs', `import dgram from 'node:dgram';
        const socket = dgram.createSocket('udp4'); socket.bind(5353, () => { socket.addMembership('224.0.0.251'); setTimeout(() => socket.close(), 500); });`); // prettier-ignore
      const seen = async (policy: Policy): Promise<string[]> => {
        await client.run(['nft', '-f', '-'], { input: rulesetOf(policy) });
        const capture = await Capture.start(outside, 'near');
        // Each address has a group of its own.
        await client.ip('address', 'add', 'fd77:1::77/64', 'dev', 'outer');
        const ping = ['ping', '-c', '1', '-W', '1', 'ff02::1%outer'];
        await Promise.all([client.run([process.execPath, script]), client.run(ping, { allowFailure: true })]);
        await delay(500);
        const { packets: caught } = await capture.stop();
        await client.ip('address', 'delete', 'fd77:1::77/64', 'dev', 'outer');
        const mac = await linkAddress(client, 'outer');
        return caught.flatMap(({ bytes }) => {
          const packet = dissect(bytes);
          const sender = Buffer.from(bytes.subarray(6, 12)).toString('hex');
          if (packet.kind !== 'ip' || sender !== mac.replaceAll(':', '')) return [];
          if (packet.protocol === 58) return [`icmpv6 ${String(packet.icmpType)}`];
          return packet.protocol === 2 ? ['igmp'] : [];
        });
      };
      const open = await seen('open');
      for (const kind of ['icmpv6 143', 'icmpv6 128', 'igmp'])
        assert.ok(open.includes(kind), `${kind}: ${open.join()}`);
      for (const [name, policy] of policies()) {
        if (name !== 'connected' && name !== 'blocked') continue;
        const kinds = await seen(policy);
        assert.ok(kinds.includes('icmpv6 143'), `${name}: ${kinds.join()}`);
        assert.deepEqual(
          kinds.filter((kind) => !/^icmpv6 (133|135|136|143)$/.test(kind)),
          [],
          name,
        );
      }
    });
  });

  it('refuses connections to name servers outside at once, over which whoever asked would wait', async () => {
    await withLaboratory(async (laboratory) => {
      const { client } = await machine(laboratory);
      const policy = policies().find(([name]) => name === 'connected')?.[1] ?? 'open';
      await client.run(['nft', '-f', '-'], { input: rulesetOf(policy) });
      const connect = (address: string, port: number, seconds: number) => client.run(['timeout', String(seconds), 'bash', '-c', `: <>/dev/tcp/${address}/${String(port)}`], { allowFailure: true }); // prettier-ignore
      for (const address of ['192.0.2.9', '192.168.1.1', '2001:db8:9::9'])
        for (const port of [53, 853]) assert.match((await connect(address, port, 30)).stderr, /Connection refused/);
      assert.equal((await connect('192.0.2.9', 4433, 2)).code, 124);
    });
  });

  it('replaces itself in one transaction, and leaves the old one where the new one is refused', async () => {
    await withLaboratory(async (laboratory) => {
      const client = await laboratory.namespace('client');
      for (const [, policy] of policies()) await client.run(['nft', '-f', '-'], { input: rulesetOf(policy) });
      const blocked = rulesetOf(policies().find(([name]) => name === 'blocked')?.[1] ?? 'open');
      await client.run(['nft', '-f', '-'], { input: blocked });
      const before = (await client.run(['nft', 'list', 'ruleset'])).stdout;
      const bad = rulesetOf('open') + 'table inet sallyport_client { chain output { nonsense;\n}\n}\n';
      const { code } = await client.run(['nft', '-f', '-'], { input: bad, allowFailure: true });
      assert.notEqual(code, 0);
      assert.equal((await client.run(['nft', 'list', 'ruleset'])).stdout, before);
      assert.match(before, /policy drop/);
    });
  });
});

async function linkAddress(namespace: NetworkNamespace, name: string): Promise<string> {
  const [link] = JSON.parse(await namespace.ip('-json', 'link', 'show', 'dev', name)) as { address?: string }[];
  return link?.address ?? '';
}

describe('the text of the rules', () => {
  it('is never made of what is no address, interface, port or group', () => {
    const policy = policies().find(([name]) => name === 'connected')?.[1];
    assert.ok(policy !== undefined && policy !== 'open');
    const [endpoint] = policy.endpoints;
    assert.ok(endpoint !== undefined);
    const bad: Partial<FirewallPolicy>[] = [
      { tunnelAddresses: ['10.0.0.1; accept'] },
      { tunnelAddresses: ['10.0.0.0/8'] },
      { excluded: ['10.0.0.0/8 accept # /8'] },
      { excluded: ['0.0.0.0/0\naccept'] },
      { only: [''] },
      { tunnels: ['eth0" accept'] },
      { tunnelInterfaces: ['*'] },
      { splitGroup: { path: 'a" accept "', level: 1 } },
      { splitGroup: { path: '../x y', level: 1 } },
      { splitGroup: { path: 'a', level: 0 } },
      { endpoints: [{ ...endpoint, port: 0 }] },
      { endpoints: [{ ...endpoint, port: 1.5 }] },
      { endpoints: [{ ...endpoint, address: '198.51.100.0/24' }] },
      { endpoints: [{ ...endpoint, address: 'fe80::1%eth0' }] },
      { endpoints: [{ ...endpoint, mark: 0 }] },
    ];
    for (const more of bad) assert.throws(() => rulesetOf({ ...policy, blocking: true, ...more }), TypeError, JSON.stringify(more)); // prettier-ignore
    assert.doesNotThrow(() => rulesetOf(policy));
    assert.equal(configuration().gateways.length, 3);
  });

  it('has no hook that each packet would pass for nothing', () => {
    const policy = policies().find(([name]) => name === 'connected')?.[1];
    assert.ok(policy !== undefined && policy !== 'open');
    const [marks, translates] = [/type route hook output/, /type nat hook postrouting/];
    assert.doesNotMatch(rulesetOf(policy), marks);
    assert.doesNotMatch(rulesetOf(policy), translates);
    const group = rulesetOf({ ...policy, splitGroup: { path: 'outside', level: 1 } });
    assert.match(group, marks);
    assert.match(group, translates);
    assert.match(rulesetOf({ ...policy, connector: ['10.88.1.0/24'] }), translates);
    // An empty chain that drops is none of these.
    assert.match(
      rulesetOf({ ...policy, tunnels: [], dnsByTunnel: false, excluded: [] }),
      /chain forward \{\n.*policy drop;\n {2}\}/,
    );
  });
});
