// Random bytes and damaged messages, from clients and from name servers. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import packet from 'dns-packet';
import { SeededRandom } from '@sallyport/testkit';
import { makeAnswer, readAnswer, writeAnswer } from '../../packages/resolver/src/answer.ts';
import { privateAnswer } from '../../packages/resolver/src/local-names.ts';
import { readQuery } from '../../packages/resolver/src/query.ts';
import { queryBytes, soa } from '../resolver/name-world.ts';

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

export function noise(random: SeededRandom): Buffer {
  return Buffer.from(Array.from({ length: random.below(120) }, () => random.below(256)));
}

/** Half from clients, half from name servers. Nothing is thrown, and what is sent is whole. */
export function fuzzResolver(iterations: number, seed: number): { accepted: number; dropped: number } {
  const half = iterations >> 1;
  const asked = fuzzQueries(half, seed);
  const answered = fuzzAnswers(iterations - half, seed);
  const accepted = asked.query + answered.answer;
  return { accepted, dropped: iterations - accepted };
}

export function fuzzQueries(iterations: number, seed: number): { query: number; refuse: number; drop: number } {
  const random = new SeededRandom(seed);
  const kinds = { query: 0, refuse: 0, drop: 0 };
  for (let i = 0; i < iterations; i++) {
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
  return kinds;
}

export function fuzzAnswers(
  iterations: number,
  seed: number,
): { answer: number; truncated: number; foreign: number; faulty: number } {
  const random = new SeededRandom(seed);
  const reading = readQuery(queryBytes({ edns: { dnssecOk: true } }));
  assert.ok(reading.kind === 'query');
  const { query } = reading;
  const kinds = { answer: 0, truncated: 0, foreign: 0, faulty: 0 };
  const sources = answers();
  for (let i = 0; i < iterations; i++) {
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
  return kinds;
}
