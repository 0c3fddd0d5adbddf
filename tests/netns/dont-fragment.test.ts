/** Sockets whose datagrams are not fragmented, for who looks for a path's MTU; in a network of the test's own. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { after, test } from 'node:test';
import { Arena, EMSGSIZE } from '@sallyport/io';
import { SeededRandom } from '@sallyport/testkit';
import { Device } from './datagram-rig.ts';
import { enterPrivateNetwork, ip } from './private-network.ts';

enterPrivateNetwork();
const EPERM = 1;
const arena = Arena.create(16 * 1024 * 1024);
const random = new SeededRandom(20_260_711);
const receiver = new Device(arena);
after(() => {
  receiver.close();
});

function withDevice(dontFragment: boolean, use: (device: Device) => void): void {
  const device = new Device(arena, false, dontFragment);
  try {
    use(device);
  } finally {
    device.close();
  }
}

for (const [family, loopback] of [
  ['IPv4', '127.0.0.1'],
  ['IPv6', '::1'],
] as const) {
  test(`${family}: what is too large for the interface is dropped and counted, and what fits still goes as a train`, () => {
    ip('link set lo mtu 1280');
    try {
      withDevice(true, (device) => {
        device.aim(loopback, receiver.port);
        assert.equal(device.send(random.bytes(1452)), EMSGSIZE);
        assert.equal(device.sender.failures, 1);
        assert.equal(device.send(random.bytes(5 * 1452), 1452), EMSGSIZE);
        assert.equal(device.sender.failures, 6);
        // Of a train whose last datagram fits that one goes.
        assert.equal(device.send(random.bytes(2 * 1452 + 100), 1452), EMSGSIZE);
        assert.equal(device.sender.failures, 8);
        assert.equal(receiver.receive(1)[0]?.bytes.length, 100);
        const before = receiver.trains;
        const fitting = random.bytes(10 * 1000);
        assert.equal(device.send(fitting, 1000), 0);
        assert.deepEqual(Buffer.concat(receiver.receive(10).map(({ bytes }) => bytes)), Buffer.from(fitting));
        assert.equal(receiver.trains - before, 1, 'in one call');
        assert.equal(device.sender.failures, 8);
      });
    } finally {
      ip('link set lo mtu 65536');
    }
  });

  test(`${family}: what the kernel believes of the path's MTU is left out of account`, () => {
    const flag = family === 'IPv4' ? '-4' : '-6';
    const [target, network] = family === 'IPv4' ? ['192.0.2.1', '192.0.2.1/32'] : ['2001:db8::1', '2001:db8::1/128'];
    ip(`${flag} address add ${network} dev lo`);
    ip(`${flag} route replace local ${network} dev lo table local mtu 1300`);
    withDevice(true, (device) => {
      device.aim(target, receiver.port);
      assert.equal(device.send(random.bytes(1400)), 0);
      assert.equal(receiver.receive(1)[0]?.bytes.length, 1400);
    });
  });
}

test('datagrams carry the flag "don\'t fragment", and those of other sockets do not', () => {
  execFileSync('nft', ['-f', '-'], {
    input: 'table ip t { chain out { type filter hook output priority 0; ip frag-off & 0x4000 != 0 drop; }; }\n',
  });
  try {
    for (const [dontFragment, expected] of [
      [true, EPERM],
      [false, 0],
    ] as const)
      withDevice(dontFragment, (device) => {
        device.aim('127.0.0.1', receiver.port);
        assert.equal(device.send(random.bytes(100)), expected);
      });
    receiver.receive(1);
  } finally {
    execFileSync('nft', ['delete', 'table', 'ip', 't']);
  }
});
