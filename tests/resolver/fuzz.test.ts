/** Random bytes and damaged messages, from clients and from name servers: nothing is thrown, and what is sent is whole. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import packet from 'dns-packet';
import { SeededRandom } from '@sallyport/testkit';
import { makeAnswer, readAnswer, writeAnswer } from '../../packages/resolver/src/answer.ts';
import { FrameReader, frame } from '../../packages/resolver/src/framing.ts';
import { privateAnswer } from '../../packages/resolver/src/local-names.ts';
import { readQuery } from '../../packages/resolver/src/query.ts';
import { queryBytes, soa } from './name-world.ts';

const QUESTIONS = [
  queryBytes({}),
  queryBytes({ name: 'a.b.c.d.e.f.example', type: 'AAAA', edns: { dnssecOk: true } }),
  queryBytes({ name: '.', type: 'NS', edns: { bytes: 4096 } }),
  packet.encode({ type: 'query', id: 7, questions: [{ name: 'x.example', type: 'TXT' }], additionals: [{ type: 'OPT', name: '.', udpPayloadSize: 512, flags: 0, extendedRcode: 0, ednsVersion: 0, flag_do: false, options: [{ code: 8, ip: '192.0.2.0', sourcePrefixLength: 24 }, { code: 12, length: 30 }] }] }), // prettier-ignore
];
const OPT: packet.OptAnswer = { type: 'OPT', name: '.', udpPayloadSize: 1232, flags: 0, extendedRcode: 0, ednsVersion: 0, flag_do: false, options: [] }; // prettier-ignore

function answers(): Buffer[] {
  const questions: packet.Question[] = [{ name: 'www.example.com', type: 'A' }];
  const base = { type: 'response', id: 0x1234, flags: 0x180, questions } as const;
  return [
    packet.encode({ ...base, answers: [{ type: 'CNAME', name: 'www.example.com', ttl: 60, data: 'b.example' }, { type: 'A', name: 'b.example', ttl: 30, data: '192.0.2.1' }], additionals: [OPT] }), // prettier-ignore
    packet.encode({ ...base, flags: 0x183, authorities: [soa('example.com', 900, 60)], additionals: [OPT, { type: 'TXT', name: 'x', ttl: 1, data: 'behind' }] }), // prettier-ignore
    packet.encode({ ...base, answers: Array.from({ length: 40 }, (_, i) => ({ type: 'A', name: 'www.example.com', ttl: i, data: '192.0.2.1' })) }), // prettier-ignore
    packet.encode({ ...base, answers: [{ type: 'MX', name: 'www.example.com', ttl: 5, data: { preference: 1, exchange: 'm.example' } }, { type: 'TXT', name: 'www.example.com', ttl: 5, data: ['a', 'b'] }] }), // prettier-ignore
  ];
}

function damaged(random: SeededRandom, from: Buffer): Buffer {
  const bytes = Buffer.from(from);
  for (let i = random.below(4); i >= 0; i--) {
    const at = random.below(bytes.length);
    bytes[at] = random.below(3) === 0 ? [0, 0xff, 0xc0, 0x3f][random.below(4)] : random.below(256);
  }
  const cut = random.below(4) === 0 ? random.below(bytes.length + 1) : bytes.length;
  return random.below(8) === 0 ? Buffer.concat([bytes, bytes.subarray(cut)]) : bytes.subarray(0, cut);
}

function noise(random: SeededRandom): Buffer {
  return Buffer.from(Array.from({ length: random.below(120) }, () => random.below(256)));
}

test('what clients send', () => {
  const random = new SeededRandom(1);
  const kinds = { query: 0, refuse: 0, drop: 0 };
  for (let i = 0; i < 60_000; i++) {
    const source = QUESTIONS[random.below(QUESTIONS.length)] ?? Buffer.alloc(0);
    const reading = readQuery(i % 10 === 0 ? noise(random) : damaged(random, source));
    kinds[reading.kind] += 1;
    if (reading.kind === 'drop' || !('question' in reading.query)) continue;
    const { query } = reading;
    const local = privateAnswer(query.question.name) ?? { rcode: 5 };
    const written = writeAnswer({ query, byUdp: true }, makeAnswer(query.question.bytes, local), 0);
    assert.ok(written.length <= 1232);
    assert.deepEqual(written.subarray(12, 12 + query.question.bytes.length), query.question.bytes);
    packet.decode(written);
  }
  assert.ok(kinds.query > 3000 && kinds.refuse > 3000 && kinds.drop > 1000, JSON.stringify(kinds));
});

test('what name servers send', () => {
  const random = new SeededRandom(2);
  const reading = readQuery(queryBytes({ edns: { dnssecOk: true } }));
  assert.ok(reading.kind === 'query');
  const { query } = reading;
  const kinds = { answer: 0, truncated: 0, foreign: 0, faulty: 0 };
  const sources = answers();
  for (let i = 0; i < 60_000; i++) {
    const message =
      i % 10 === 0 ? noise(random) : damaged(random, sources[random.below(sources.length)] ?? Buffer.alloc(0));
    const read = readAnswer(message, 0x1234, query.question.bytes);
    kinds[read.kind] += 1;
    if (read.kind !== 'answer') continue;
    const { answer } = read;
    assert.ok(answer.message.length <= message.length && answer.ttlSeconds >= 0 && answer.ttlSeconds < 2 ** 31);
    for (const age of [0, 1_000_000]) {
      const written = writeAnswer({ query, byUdp: false }, answer, age);
      // Its frame is whole: it reads as an answer to the same question, with the one OPT of ours.
      const again = readAnswer(written, query.id, query.question.bytes);
      assert.equal(again.kind, 'answer');
      assert.equal(written.readUInt16BE(10), answer.message.readUInt16BE(10) + 1);
    }
  }
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
