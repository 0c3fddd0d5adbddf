import assert from 'node:assert/strict';
import type { SeededRandom } from './seeded-random.ts';
import { corrupt, PERFECT_NETWORK, type NetworkConditions, type SimulatedNetwork } from './simulated-network.ts';

/** Two clients of one server. */
export type ConformanceClient = 0 | 1;
export type ConformanceEnd = ConformanceClient | 'server';

/**
 * A tunnel protocol at work in a simulated network: a server that admits two clients, which are not connected yet. It is made
 * of the protocol's real halves and its real cryptography; what is around them is the test's.
 */
export interface ConformanceSubject {
  readonly network: SimulatedNetwork;
  /** Lets time pass, and all that follows from it. */
  run(milliseconds: number): Promise<void>;
  /** A client begins, from an address and a port that it has not had before; once more where it lost all that it knew. */
  connect(client: ConformanceClient): void;
  /** Applications send packets through the tunnel; their names, none where there is no tunnel. */
  send(from: ConformanceEnd, to: ConformanceEnd, count: number): readonly string[];
  /** Names of packets that came out of the tunnel so far. A changed packet is an error. */
  received(at: ConformanceEnd): readonly string[];
  addressOf(end: ConformanceEnd): string;
  /** The client is at another address from now on, and does not know. */
  move(client: ConformanceClient, address: string): void;
  /** New keys are to be agreed on now. */
  renew(client: ConformanceClient): void;
  /** How often that has been done, the first time included. */
  agreements(client: ConformanceClient): number;
  /** The client is admitted no more. */
  remove(client: ConformanceClient): void;
  /** Sends the server what strangers may send who know all but secrets, each from an address that nobody has. */
  flood(count: number): void;
  /** Sessions, keys and negotiations that the server has a record of. */
  records(): number;
  /** Whom the server's route table gives a client's address in the tunnel to. */
  routedTo(address: ConformanceClient): ConformanceClient | undefined;
  /** Datagrams and packets that the server has dropped. */
  drops(): number;
  close(): void;
}

export interface ConformanceProtocol {
  readonly name: string;
  /** The longest that a client takes to connect in a network without faults, in milliseconds. */
  readonly connectMs: number;
  /** After this long without a word from a client the server keeps no key of it, in milliseconds. */
  readonly forgetMs: number;
  open(random: SeededRandom): ConformanceSubject;
}

export interface ConformanceTest {
  readonly name: string;
  readonly run: (protocol: ConformanceProtocol, random: SeededRandom) => Promise<void>;
}

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const CLIENTS: readonly ConformanceClient[] = [0, 1];
const LOSSY: NetworkConditions = { loss: 0.2, duplication: 0.1, corruption: 0, delayMs: 20, jitterMs: 60 };
const CORRUPTING: NetworkConditions = { ...LOSSY, corruption: 0.3 };

/** What every protocol must pass. */
export const CONFORMANCE_TESTS: readonly ConformanceTest[] = [
  {
    name: 'a session is established, and both directions pass',
    run: (protocol, random) =>
      withSubject(protocol, random, async (subject) => {
        for (const client of CLIENTS) await establish(protocol, subject, client);
        for (const client of CLIENTS) {
          await assertPasses(subject, client, 'server');
          await assertPasses(subject, 'server', client);
        }
      }),
  },
  {
    name: "an address is its client's, and nobody's once it is gone",
    run: (protocol, random) =>
      withSubject(protocol, random, async (subject) => {
        for (const client of CLIENTS) await establish(protocol, subject, client);
        for (const client of CLIENTS) assert.equal(subject.routedTo(client), client);
        subject.remove(1);
        assert.equal(subject.routedTo(1), undefined);
        assert.equal(subject.routedTo(0), 0);
      }),
  },
  {
    name: 'new keys under load, a fifth of all lost',
    run: (protocol, random) =>
      withSubject(protocol, random, async (subject) => {
        await establish(protocol, subject, 0);
        subject.network.conditions = () => LOSSY;
        const sent = { up: 0, down: 0 };
        const before = [subject.received('server').length, subject.received(0).length];
        for (let second = 0; second < 180; second++) {
          if (second % 20 === 0) subject.renew(0);
          for (let tenth = 0; tenth < 10; tenth++) {
            sent.up += subject.send(0, 'server', 2).length;
            sent.down += subject.send('server', 0, 2).length;
            await subject.run(SECOND / 10);
          }
        }
        await subject.run(SECOND);
        assert.ok(subject.agreements(0) >= 6, `${String(subject.agreements(0))} agreements`);
        for (const [at, count, past] of [
          ['server', sent.up, before[0]],
          [0, sent.down, before[1]],
        ] as const) {
          const received = subject.received(at).slice(past);
          assert.equal(new Set(received).size, received.length, 'nothing comes twice');
          assert.ok(received.length > 0.72 * count, `${String(received.length)} of ${String(count)} arrived`);
        }
      }),
  },
  {
    name: 'what was sent is worth nothing a second time',
    run: (protocol, random) =>
      withSubject(protocol, random, async (subject) => {
        const seen: { datagram: Uint8Array; from: string; to: string }[] = [];
        subject.network.onSent = (datagram, from, to) => seen.push({ datagram: datagram.slice(), from, to });
        await establish(protocol, subject, 0);
        for (let i = 0; i < 20; i++) {
          subject.send(0, 'server', 5);
          subject.send('server', 0, 5);
          await subject.run(SECOND / 10);
        }
        subject.network.onSent = () => undefined;
        const received = [subject.received('server').length, subject.received(0).length];
        const drops = subject.drops();
        for (const { datagram, from, to } of [...seen, ...seen.reverse()]) subject.network.send(from, to, datagram);
        await subject.run(5 * SECOND);
        assert.deepEqual([subject.received('server').length, subject.received(0).length], received);
        assert.ok(subject.drops() - drops >= 200, 'each is counted');
        await assertPasses(subject, 0, 'server');
        await assertPasses(subject, 'server', 0);
      }),
  },
  {
    name: 'damaged datagrams do no harm',
    run: (protocol, random) =>
      withSubject(protocol, random, async (subject) => {
        await establish(protocol, subject, 0);
        subject.network.conditions = () => CORRUPTING;
        const before = [subject.received('server').length, subject.received(0).length];
        const sent = new Set<string>();
        for (let i = 0; i < 300; i++) {
          for (const name of [...subject.send(0, 'server', 1), ...subject.send('server', 0, 1)]) sent.add(name);
          await subject.run(SECOND / 10);
        }
        subject.network.conditions = () => PERFECT_NETWORK;
        await subject.run(30 * SECOND);
        const received = [...subject.received('server').slice(before[0]), ...subject.received(0).slice(before[1])];
        assert.ok(received.every((name) => sent.has(name)));
        assert.ok(received.length > 0.4 * sent.size, `${String(received.length)} of ${String(sent.size)} arrived`);
        await assertPasses(subject, 0, 'server');
        await assertPasses(subject, 'server', 0);
        // And rubbish that never was a datagram.
        for (let i = 0; i < 2000; i++) {
          const from = random.chance(0.5) ? subject.addressOf(0) : stranger(i);
          subject.network.send(from, subject.addressOf('server'), random.bytes(random.below(300)));
        }
        await subject.run(SECOND);
        await assertPasses(subject, 0, 'server');
      }),
  },
  {
    name: 'a flood from addresses that nobody has: nothing is kept, and clients get in',
    run: (protocol, random) =>
      withSubject(protocol, random, async (subject) => {
        await establish(protocol, subject, 0);
        const records = subject.records();
        for (let i = 0; i < 100; i++) {
          subject.flood(100);
          await subject.run(10);
        }
        assert.ok(subject.records() <= records + 8, `${String(subject.records())} records`);
        subject.connect(1);
        for (let i = 0; i < 10 * (protocol.connectMs / SECOND); i++) {
          subject.flood(50);
          subject.send(1, 'server', 1);
          await subject.run(SECOND / 10);
        }
        await assertPasses(subject, 1, 'server');
        await assertPasses(subject, 0, 'server');
        await subject.run(2 * MINUTE);
        assert.ok(subject.records() <= records + 8, `${String(subject.records())} records`);
      }),
  },
  {
    name: 'a client that moves is followed with its next packet, and by nobody else',
    run: (protocol, random) =>
      withSubject(protocol, random, async (subject) => {
        await establish(protocol, subject, 0);
        for (let i = 0; i < 10; i++) {
          subject.move(0, `198.51.100.${String(1 + i)}:${String(1024 + i)}`);
          await assertPasses(subject, 0, 'server');
          await assertPasses(subject, 'server', 0);
          if (i % 3 === 0) subject.renew(0);
          await subject.run(random.below(20) * SECOND);
        }
        // Somebody who has seen its datagrams, and damages or repeats them, moves nothing.
        const seen: Uint8Array[] = [];
        subject.network.onSent = (datagram, from) => {
          if (from === subject.addressOf(0)) seen.push(datagram.slice());
        };
        await assertPasses(subject, 0, 'server');
        subject.network.onSent = () => undefined;
        for (const datagram of seen)
          for (const copy of [datagram.slice(), corrupt(datagram.slice(), random)])
            subject.network.send(stranger(1), subject.addressOf('server'), copy);
        await subject.run(SECOND);
        await assertPasses(subject, 'server', 0);
      }),
  },
  {
    name: 'who is removed is cut off at once, both ways',
    run: (protocol, random) =>
      withSubject(protocol, random, async (subject) => {
        for (const client of CLIENTS) await establish(protocol, subject, client);
        subject.send(0, 'server', 10);
        subject.send('server', 0, 10);
        // The server's are on their way already; of the client's none is taken any more.
        subject.remove(0);
        const received = subject.received('server').length;
        for (let i = 0; i < 100; i++) {
          subject.send(0, 'server', 1);
          assert.deepEqual(subject.send('server', 0, 1), []);
          await subject.run(SECOND / 10);
        }
        assert.equal(subject.received('server').length, received);
        await assertPasses(subject, 1, 'server');
        await assertPasses(subject, 'server', 1);
      }),
  },
  {
    name: 'a client that lost all that it knew comes again',
    run: (protocol, random) =>
      withSubject(protocol, random, async (subject) => {
        for (let i = 0; i < 5; i++) {
          await establish(protocol, subject, 0);
          await assertPasses(subject, 'server', 0);
        }
      }),
  },
  {
    name: 'hours of silence and hours of talk: the tunnel stays; of who is gone nothing is kept',
    run: (protocol, random) =>
      withSubject(protocol, random, async (subject) => {
        for (const client of CLIENTS) await establish(protocol, subject, client);
        await subject.run(150 * MINUTE);
        await assertPassesSoon(protocol, subject, 0, 'server');
        await assertPasses(subject, 'server', 0);
        for (let i = 0; i < 150; i++) {
          subject.send(0, 'server', 1);
          subject.send('server', 0, 1);
          await subject.run(MINUTE);
        }
        assert.ok(subject.agreements(0) >= 2, `${String(subject.agreements(0))} agreements`);
        await assertPasses(subject, 0, 'server');
        subject.network.conditions = () => ({ ...PERFECT_NETWORK, loss: 1 });
        await subject.run(protocol.forgetMs);
        assert.equal(subject.records(), 0);
      }),
  },
];

async function withSubject(
  protocol: ConformanceProtocol,
  random: SeededRandom,
  body: (subject: ConformanceSubject) => Promise<void>,
): Promise<void> {
  const subject = protocol.open(random);
  try {
    await body(subject);
  } finally {
    subject.close();
  }
}

/** A client connects: what it sends arrives in time. */
async function establish(
  protocol: ConformanceProtocol,
  subject: ConformanceSubject,
  client: ConformanceClient,
): Promise<void> {
  subject.connect(client);
  await assertPassesSoon(protocol, subject, client, 'server');
}

/** Until a packet arrives, for as long as connecting takes. */
async function assertPassesSoon(
  { connectMs }: ConformanceProtocol,
  subject: ConformanceSubject,
  from: ConformanceEnd,
  to: ConformanceEnd,
): Promise<void> {
  const sent: string[] = [];
  for (let waited = 0; waited < connectMs; waited += 100) {
    sent.push(...subject.send(from, to, 1));
    await subject.run(100);
    if (subject.received(to).some((name) => sent.includes(name))) return;
  }
  assert.fail(`nothing from ${String(from)} arrived at ${String(to)} within ${String(connectMs)} ms`);
}

/** What is sent in a network without faults arrives, once. */
async function assertPasses(subject: ConformanceSubject, from: ConformanceEnd, to: ConformanceEnd): Promise<void> {
  const sent = subject.send(from, to, 3);
  assert.equal(sent.length, 3, `${String(from)} has a tunnel to ${String(to)}`);
  await subject.run(SECOND);
  const received = subject.received(to).filter((name) => sent.includes(name));
  assert.deepEqual([...received].sort(), [...sent].sort(), `from ${String(from)} to ${String(to)}`);
}

function stranger(i: number): string {
  return `203.0.113.${String(1 + (i % 250))}:${String(1024 + (i % 60_000))}`;
}
