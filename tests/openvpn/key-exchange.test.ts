// How the peer's part of the keys is gathered, by a TLS of cardboard.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Secret, type SessionOutbox } from '@sallyport/core';
import { KeyExchange } from '../../packages/openvpn/src/session/key-exchange.ts';
import { encodeKeyMethod2, MAX_KEY_METHOD_BYTES, type KeyMethod2 } from '../../packages/openvpn/src/wire/key-method.ts';
import { P_ACK_V1 } from '../../packages/openvpn/src/wire/opcodes.ts';
import { ReliableLayer } from '../../packages/openvpn/src/wire/reliable.ts';

const MESSAGE = encodeKeyMethod2({
  preMaster: new Uint8Array(48).fill(1),
  random1: new Uint8Array(32).fill(2),
  random2: new Uint8Array(32).fill(3),
  options: 'V4',
  userName: 'zoë',
  password: new Secret('x'.repeat(500)),
  peerInfo: 'IV_PROTO=990',
});
const OUT = {} as SessionOutbox;

/** What became of plaintext that came in these pieces. */
function give(pieces: readonly Uint8Array[]): {
  messages: KeyMethod2[];
  failures: string[];
  texts: string[];
} {
  const heard = { messages: [] as KeyMethod2[], failures: [] as string[], texts: [] as string[] };
  const exchange = new KeyExchange({
    engine: { open: () => assert.fail('TLS is not needed') },
    owner: {
      resetCame: () => undefined,
      secured: () => undefined,
      keysCame: (_exchange, message) => heard.messages.push(message),
      textsCame: (_exchange, texts) => heard.texts.push(...texts),
      failed: (_exchange, reason) => {
        heard.failures.push(reason);
        exchange.close();
      },
    },
    tlsId: 1,
    keyId: 0,
    reliable: new ReliableLayer({ keyId: 0, sessionId: new Uint8Array(8), wrapOverhead: 0 }),
    now: 0,
  });
  for (const bytes of pieces) exchange.handleTls({ kind: 'plaintext', bytes }, 0, OUT);
  return heard;
}

function cut(bytes: Uint8Array, size: number): Uint8Array[] {
  return Array.from({ length: Math.ceil(bytes.length / size) }, (_, i) => bytes.slice(i * size, (i + 1) * size));
}

test('in one piece, or in a few, with texts behind it', () => {
  for (const size of [1e6, 300, 12]) {
    const { messages, failures, texts } = give([...cut(MESSAGE, size), Buffer.from('PUSH_REQUEST\0')]);
    assert.deepEqual([messages.length, failures, texts], [1, [], ['PUSH_REQUEST']]);
    const [message] = messages;
    assert.deepEqual(
      [message.userName, message.peerInfo, message.password?.reveal().length],
      ['zoë', 'IV_PROTO=990', 500],
    );
  }
});

test('in more pieces than anybody makes: that is the end', () => {
  assert.equal(give(cut(MESSAGE, Math.ceil(MESSAGE.length / 64))).messages.length, 1);
  const { messages, failures } = give(cut(MESSAGE, 5));
  assert.deepEqual([messages.length, failures.length], [0, 1]);
});

test('longer than the longest there is', () => {
  const { messages, failures } = give([MESSAGE.subarray(0, 100), new Uint8Array(MAX_KEY_METHOD_BYTES).fill(255)]);
  assert.deepEqual([messages.length, failures.length], [0, 1]);
});

/** What went into TLS of our keys and of two texts: before the keys have come out of it, then, and once they were acknowledged. */
function said(keysFirst: boolean): number[] {
  const server = new Uint8Array(8).fill(1);
  const client = new Uint8Array(8).fill(2);
  const sent: Uint8Array[] = [];
  const exchange = new KeyExchange({
    engine: {
      open: () => ({
        send: (bytes) => sent.push(bytes),
        receive: () => undefined,
        exportKey: () => assert.fail('no key is asked for'),
        close: () => undefined,
      }),
    },
    owner: {
      resetCame: () => undefined,
      secured: () => undefined,
      keysCame(its) {
        const random = new Uint8Array(32);
        its.sendKeys({ preMaster: undefined, random1: random, random2: random, options: '', userName: undefined, password: undefined, peerInfo: '' }, keysFirst); // prettier-ignore
        its.say('AUTH_PENDING');
        its.say('INFO_PRE,x');
      },
      textsCame: () => undefined,
      failed: (_exchange, reason) => assert.fail(reason),
    },
    tlsId: 1,
    keyId: 0,
    reliable: new ReliableLayer({
      keyId: 0,
      sessionId: server,
      remoteSessionId: client,
      wrapOverhead: 0,
      resumed: true,
    }),
    now: 0,
  });
  const acknowledge = (...acks: number[]): void => {
    const packet = { opcode: P_ACK_V1, keyId: 0, sessionId: client, acks, remoteSessionId: server, packetId: undefined, payload: new Uint8Array(0) } as const; // prettier-ignore
    assert.equal(exchange.receive(packet, 0, OUT), undefined);
  };
  exchange.openTls();
  exchange.handleTls({ kind: 'plaintext', bytes: MESSAGE }, 0, OUT);
  const counts = [sent.length];
  acknowledge(0);
  counts.push(sent.length);
  exchange.handleTls({ kind: 'records', bytes: new Uint8Array(2000) }, 0, OUT);
  assert.equal(exchange.reliable.poll(0).length, 2);
  acknowledge(1);
  counts.push(sent.length);
  assert.equal(exchange.saidAll, !keysFirst);
  acknowledge(2);
  assert.equal(exchange.saidAll, true);
  return [...counts, sent.length];
}

test('texts go with the keys, or once the peer has read those: OpenVPN 3 overhears what comes together with them', () => {
  assert.deepEqual(said(false), [3, 3, 3, 3]);
  assert.deepEqual(said(true), [1, 1, 1, 3]);
});
