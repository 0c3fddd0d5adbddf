import assert from 'node:assert/strict';
import { test } from 'node:test';
import { plainMemory, withSeed } from '@sallyport/testkit';
import {
  ipLength,
  ipv4HeaderLength,
  ipv6PlainUpperOffset,
  ipv6UpperOffset,
  ipv6UpperProtocol,
  isIpv4Fragment,
  tcpHeaderLength,
} from '@sallyport/wire';
import { buildPacket, TCP, UDP } from './packets.ts';

const memory = plainMemory(4096);
const AT = 64;

function put(packet: Uint8Array): void {
  memory.u8.fill(0xff);
  memory.u8.set(packet, AT);
}

test('ipLength cuts padding off and refuses what is not whole', () => {
  for (const version of [4, 6] as const) {
    const packet = buildPacket({ version, protocol: UDP, payload: new Uint8Array(33) });
    put(packet);
    for (let available = 0; available < packet.length; available++) assert.equal(ipLength(memory, AT, available), 0);
    for (let more = 0; more < 40; more++) assert.equal(ipLength(memory, AT, packet.length + more), packet.length);
  }
});

test('ipLength refuses other versions, short header lengths and total lengths', () => {
  const packet = buildPacket({ version: 4, protocol: UDP, payload: new Uint8Array(100) });
  for (const version of [0, 1, 2, 3, 5, 7, 8, 15]) {
    put(packet);
    memory.u8[AT] = (version << 4) | 5;
    assert.equal(ipLength(memory, AT, packet.length), 0);
  }
  for (const ihl of [0, 1, 2, 3, 4]) {
    put(packet);
    memory.u8[AT] = 0x40 | ihl;
    assert.equal(ipLength(memory, AT, packet.length), 0);
  }
  put(packet);
  memory.u8[AT] = 0x46; // options: 24 bytes of header
  memory.view.setUint16(AT + 2, 23);
  assert.equal(ipLength(memory, AT, packet.length), 0);
  memory.view.setUint16(AT + 2, 24);
  assert.equal(ipLength(memory, AT, packet.length), 24);
  assert.equal(ipLength(memory, AT, 23), 0);
  assert.equal(ipLength(memory, AT, -5), 0);
});

test('ipv4HeaderLength and isIpv4Fragment', () => {
  put(buildPacket({ version: 4, protocol: TCP, ipOptions: new Uint8Array(12) }));
  assert.equal(ipv4HeaderLength(memory, AT, 52), 32);
  assert.equal(ipv4HeaderLength(memory, AT, 31), 0);
  for (const [word, fragment] of [
    [0x4000, false],
    [0x0000, false],
    [0x8000, false],
    [0x2000, true],
    [0x0001, true],
    [0x1fff, true],
  ] as const) {
    memory.view.setUint16(AT + 6, word);
    assert.equal(isIpv4Fragment(memory, AT), fragment);
  }
});

test('tcpHeaderLength', () => {
  memory.u8[AT + 12] = 0x80;
  assert.equal(tcpHeaderLength(memory, AT, 32), 32);
  assert.equal(tcpHeaderLength(memory, AT, 31), 0);
  assert.equal(tcpHeaderLength(memory, AT, 19), 0);
  memory.u8[AT + 12] = 0x4f;
  assert.equal(tcpHeaderLength(memory, AT, 100), 0);
});

test('the walk over IPv6 extension headers', () => {
  const hopByHop = { type: 0, bytes: new Uint8Array([0, 0, 1, 4, 0, 0, 0, 0]) };
  const destination = { type: 60, bytes: new Uint8Array([0, 1, 1, 12, ...new Uint8Array(12)]) };
  const usedRouting = { type: 43, bytes: new Uint8Array([0, 2, 2, 0, ...new Uint8Array(20)]) };
  const routing = { type: 43, bytes: new Uint8Array([0, 2, 2, 1, ...new Uint8Array(20)]) };
  const firstFragment = { type: 44, bytes: new Uint8Array([0, 0, 0, 1, 9, 9, 9, 9]) };
  const laterFragment = { type: 44, bytes: new Uint8Array([0, 0, 0, 8, 9, 9, 9, 9]) };

  for (const [extensions, upper, plain] of [
    [[], 40, 40],
    [[hopByHop], 48, 48],
    [[hopByHop, destination, usedRouting], 88, 88],
    [[routing], 64, 0],
    [[firstFragment, hopByHop], 56, 0],
    [[hopByHop, laterFragment], 0, 0],
  ] as const) {
    const packet = buildPacket({ version: 6, protocol: UDP, extensions, payload: new Uint8Array(3) });
    put(packet);
    assert.equal(ipv6UpperOffset(memory, AT, packet.length), upper);
    assert.equal(ipv6PlainUpperOffset(memory, AT, packet.length), plain);
    if (upper > 0) assert.equal(ipv6UpperProtocol(memory, AT, upper), UDP);
    for (let length = 0; length < upper; length++) assert.equal(ipv6UpperOffset(memory, AT, length), 0);
  }

  const endless = buildPacket({ version: 6, protocol: UDP, extensions: Array.from({ length: 40 }, () => hopByHop) });
  put(endless);
  assert.equal(ipv6UpperOffset(memory, AT, endless.length), 0);
});

test('random bytes never lead out of the packet', () => {
  withSeed((random) => {
    for (let i = 0; i < 5000; i++) {
      const length = random.below(120);
      const at = memory.u8.length - length;
      memory.u8.set(random.bytes(length), at);
      if (length > 0) memory.u8[at] = random.pick([0x45, 0x46, 0x4f, 0x60]);
      if (length > 6) memory.u8[at + 6] = random.pick([0, 43, 44, 60, 6, 17]);
      const exact = ipLength(memory, at, length);
      assert.ok(exact >= 0 && exact <= length);
      const upper = ipv6UpperOffset(memory, at, length);
      assert.ok(upper === 0 || (upper >= 40 && upper <= length));
      assert.ok([0, upper].includes(ipv6PlainUpperOffset(memory, at, length)));
    }
  });
});
