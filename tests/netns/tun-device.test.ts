/** The interface itself, in a network of the test's own. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { test } from 'node:test';
import {
  Arena,
  fitSuperPackets,
  interfaceIsUp,
  interfaceMtu,
  libc,
  openTun,
  setInterfaceMtu,
  SystemCallError,
  type TunDevice,
} from '@sallyport/io';
import { enterPrivateNetwork, ip } from './private-network.ts';

enterPrivateNetwork();
const arena = Arena.create(65_536);

function withTun(name: string, queues: number, use: (tun: TunDevice) => void): void {
  const tun = openTun(arena, name, queues);
  try {
    use(tun);
  } finally {
    for (const fd of tun.queues) libc.close(fd);
  }
}

interface Shown {
  readonly ifindex: number;
  readonly mtu: number;
  readonly gso_max_size: number;
  /** Shown by iproute2 from 6.3 on. */
  readonly gso_ipv4_max_size?: number;
}

const show = (name: string): Shown => (JSON.parse(ip(`-d -json link show ${name}`)) as Shown[])[0];

test('the interface has its name, its index and its queues, and goes when they are closed', () => {
  for (const queues of [1, 3]) {
    withTun('tt0', queues, (tun) => {
      assert.equal(tun.index, show('tt0').ifindex);
      assert.equal(new Set(tun.queues).size, queues);
      assert.deepEqual(tun.offloads.tcp, true);
    });
    assert.throws(() => show('tt0'));
    assert.equal(interfaceMtu(arena, 'tt0'), undefined);
    assert.equal(interfaceIsUp(arena, 'tt0'), undefined);
  }
});

test('a name that another device has is refused with what to do, whatever the queues, and the first one stays', () => {
  for (const [first, second] of [
    [1, 1],
    [2, 1],
    [1, 2],
  ]) {
    withTun('tt1', first, ({ index }) => {
      const open = readdirSync('/proc/self/fd').length;
      assert.throws(
        () => openTun(arena, 'tt1', second),
        (error) =>
          error instanceof SystemCallError &&
          ['EBUSY', 'EINVAL'].includes(error.code) &&
          /create interface tt1 \(.*(another program has it|another kind exists)/.test(error.message),
        `${String(first)} and ${String(second)} queues`,
      );
      assert.equal(readdirSync('/proc/self/fd').length, open);
      assert.equal(show('tt1').ifindex, index);
    });
  }
});

test('a name that an interface of another kind has is refused', () => {
  assert.throws(() => openTun(arena, 'lo', 1), {
    name: 'SystemCallError',
    code: 'EINVAL',
    message: /interface lo .*another kind/,
  });
});

test('MTU, and whether it is up, as ip sees them', () => {
  withTun('tt2', 1, () => {
    setInterfaceMtu(arena, 'tt2', 1380);
    assert.equal(show('tt2').mtu, 1380);
    ip('link set tt2 mtu 1300');
    assert.equal(interfaceMtu(arena, 'tt2'), 1300);
    assert.equal(interfaceIsUp(arena, 'tt2'), false);
    ip('link set tt2 up');
    assert.equal(interfaceIsUp(arena, 'tt2'), true);
    assert.throws(() => setInterfaceMtu(arena, 'tt2', 60), /set the MTU of tt2 to 60: EINVAL/);
  });
});

test('super-packets are as large as one train of the datagrams that they become', () => {
  withTun('tt3', 1, ({ index }) => {
    for (const [mtu, expected] of [
      // 45 datagrams of 1452 bytes are 65,340; one more would be above 65,507.
      [1420, 45 * 1380],
      // 64 datagrams are the most.
      [900, 64 * 860],
      // Two datagrams don't fit: it is left at the most.
      [40_000, 65_536],
    ]) {
      fitSuperPackets(arena, index, mtu, 32);
      const { gso_max_size: largest, gso_ipv4_max_size: ofIpv4 = largest } = show('tt3');
      assert.deepEqual([largest, ofIpv4], [expected, expected], `MTU ${String(mtu)}`);
    }
  });
});
