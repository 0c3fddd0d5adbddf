/** Random bytes and damaged messages, from clients and from name servers: nothing is thrown, and what is sent is whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { SeededRandom } from '@sallyport/testkit';
import { FrameReader, frame } from '../../packages/resolver/src/framing.ts';
import { fuzzAnswers, fuzzQueries, noise } from '../fuzz/resolver.ts';

test('what clients send', () => {
  const kinds = fuzzQueries(60_000, 1);
  assert.ok(kinds.query > 3000 && kinds.refuse > 3000 && kinds.drop > 1000, JSON.stringify(kinds));
});

test('what name servers send', () => {
  const kinds = fuzzAnswers(60_000, 2);
  assert.ok(kinds.answer > 3000 && kinds.foreign > 3000 && kinds.faulty > 1000, JSON.stringify(kinds));
});

test('a stream in any pieces', () => {
  const random = new SeededRandom(3);
  for (let i = 0; i < 300; i++) {
    const sent = Array.from({ length: random.below(20) }, () => noise(random));
    const stream = Buffer.concat(sent.map(frame));
    const received: Buffer[] = [];
    const reader = new FrameReader((message) => received.push(Buffer.from(message)));
    for (let at = 0; at < stream.length;) {
      const length = 1 + random.below(90);
      reader.push(stream.subarray(at, at + length));
      at += length;
    }
    assert.deepEqual(received, sent);
  }
});
