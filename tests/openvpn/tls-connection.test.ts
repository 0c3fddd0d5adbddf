/** TLS by OpenSSL's functions, beside node:tls: the same verdicts, nothing in its way; and whatever is done to records. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { duplexPair } from 'node:stream';
import { before, describe, test } from 'node:test';
import { connect, createSecureContext, TLSSocket } from 'node:tls';
import { TlsContext, TlsError, type TlsConnection, type TlsContextOptions } from '@sallyport/io';
import { SeededRandom } from '@sallyport/testkit';
import { TestAuthority, type Issued } from './authority.ts';

type Version = TlsContextOptions['minVersion'];

let authority: TestAuthority;
let server: Issued;
let client: Issued;
/** Certificates of clients and servers that must not do, some for several reasons; last come those with a false signature. */
const IMPOSTORS = 4;
let wrong: Issued[];

before(async () => {
  authority = await TestAuthority.make();
  server = await authority.issue('the server', { usage: 'server' });
  client = await authority.issue('the client', { usage: 'client' });
  const stranger = await TestAuthority.make('Another');
  const impostor = await TestAuthority.make();
  wrong = await Promise.all(
    [authority, stranger, impostor].flatMap((one) =>
      (['client', 'server'] as const).flatMap((usage) =>
        (one === authority ? [-1] : [-1, 100]).map((days) => one.issue('somebody', { usage, days })),
      ),
    ),
  );
});

function contextOf(role: 'server' | 'client', more: Partial<TlsContextOptions> = {}): TlsContext {
  const own = role === 'server' ? server : client;
  return new TlsContext({ role, authority: authority.certificate, ...own, minVersion: 'TLSv1.2', ...more });
}

/** Records of one for the other; what becomes of them on the way is `change`'s. */
function carry(
  from: TlsConnection,
  to: TlsConnection,
  change: (records: Uint8Array) => Uint8Array = (records) => records,
): boolean {
  const records = from.takeRecords();
  if (records === undefined) return false;
  to.giveRecords(change(records));
  return true;
}

function meet(atServer: TlsContext, atClient: TlsContext): { server: TlsConnection; client: TlsConnection } {
  const ends = { server: atServer.open(), client: atClient.open() };
  for (let i = 0; i < 6; i++) {
    ends.client.shakeHands();
    carry(ends.client, ends.server);
    ends.server.shakeHands();
    carry(ends.server, ends.client);
  }
  return ends;
}

/** Both ends of a connection by node:tls. */
async function nodePair(atServer: Issued, atClient: Issued, version: Version): Promise<[TLSSocket, TLSSocket]> {
  const [left, right] = duplexPair();
  const contextOf = ({ certificate, privateKey }: Issued): ReturnType<typeof createSecureContext> =>
    createSecureContext({
      ca: authority.certificate,
      cert: certificate,
      key: privateKey.reveal(),
      maxVersion: version,
    });
  const accepted = new TLSSocket(left, {
    isServer: true,
    requestCert: true,
    rejectUnauthorized: false,
    secureContext: contextOf(atServer),
  });
  const connected = connect({
    socket: right,
    rejectUnauthorized: false,
    secureContext: contextOf(atClient),
    checkServerIdentity: () => undefined,
  });
  await Promise.all([once(accepted, 'secure'), once(connected, 'secureConnect')]);
  return [accepted, connected];
}

/** What node:tls found, in OpenSSL's words: behind them it gives advice. */
function nodeVerdict(socket: TLSSocket): string | undefined {
  const { ssl } = socket as unknown as { ssl: { verifyError(): Error | null | undefined } };
  return ssl.verifyError()?.message.split(';', 1)[0];
}

for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
  test(`of a certificate with one fault or several the same is found as by node:tls, ${version}`, async () => {
    const found = new Set<string | undefined>();
    // By TLS 1.2 node:tls ends the handshake with an impostor for the error that its false signature leaves noted.
    const comparable = version === 'TLSv1.3' ? wrong : wrong.slice(0, -IMPOSTORS);
    for (const one of [server, client, ...comparable]) {
      const [accepted, connected] = await nodePair(one, one, version);
      const ends = meet(contextOf('server', one), contextOf('client', { ...one, maxVersion: version }));
      assert.ok(ends.server.peerCertificate() !== undefined && ends.client.peerCertificate() !== undefined);
      const verdicts = [ends.server.verifyError(), ends.client.verifyError()];
      assert.deepEqual(verdicts, [nodeVerdict(accepted), nodeVerdict(connected)]);
      assert.deepEqual(
        verdicts.map((verdict) => verdict === undefined),
        [one === client, one === server],
      );
      for (const verdict of verdicts) found.add(verdict);
      ends.server.free();
      ends.client.free();
      accepted.destroy();
      connected.destroy();
    }
    assert.ok(found.size >= 3, [...found].join());
  });

test('what fails here ends no connection of node:tls', async () => {
  const [accepted, connected] = await nodePair(server, client, 'TLSv1.3');
  const impostor = wrong.at(-1);
  const failures: (() => void)[] = [
    // The end of the file of its certificates.
    () => new TlsContext({ role: 'client', authority: authority.certificate, minVersion: 'TLSv1.2' }),
    () => assert.throws(() => contextOf('server', { certificate: 'none' }), TlsError),
    () => assert.throws(() => contextOf('server', { groups: 'none' }), TlsError),
    () => assert.throws(() => contextOf('server', { privateKey: client.privateKey }), TlsError),
    () => {
      const connection = contextOf('server').open();
      assert.throws(() => connection.exportKey('EXPORTER', 32), TlsError);
      assert.throws(() => {
        connection.write(new Uint8Array(10));
      }, TlsError);
      connection.free();
    },
    () => {
      const connection = contextOf('server').open();
      connection.giveRecords(Buffer.from('GET / HTTP/1.1\r\n\r\n'));
      assert.throws(() => connection.shakeHands(), TlsError);
      connection.free();
    },
    ...(['TLSv1.2', 'TLSv1.3'] as const).map((maxVersion) => () => {
      const ends = meet(contextOf('server'), contextOf('client', { ...impostor, maxVersion }));
      assert.ok(ends.server.verifyError() !== undefined);
      ends.client.write(new Uint8Array(100));
      carry(ends.client, ends.server, (records) =>
        records.map((byte, at) => (at === records.length - 1 ? ~byte : byte)),
      );
      assert.throws(() => ends.server.read(), TlsError);
      ends.server.free();
      ends.client.free();
    }),
  ];
  for (const [i, fail] of failures.entries()) {
    fail();
    connected.write(`after ${i}`);
    const [heard] = (await once(accepted, 'data')) as [Buffer];
    assert.equal(heard.toString(), `after ${i}`);
    fail();
    accepted.write('answer');
    await once(connected, 'data');
  }
  accepted.destroy();
  connected.destroy();
});

describe('records that are not what was sent', () => {
  const SEED = 20_261_130;
  const CASES = 1000;

  function mutated(records: Uint8Array, random: SeededRandom): Uint8Array {
    const bytes = Uint8Array.from(records);
    const at = random.below(bytes.length);
    switch (random.below(7)) {
      case 0:
        bytes[at] ^= 1 << random.below(8);
        return bytes;
      case 1: // where lengths and types stand
        bytes[random.below(Math.min(bytes.length, 64))] = random.u32();
        return bytes;
      case 2:
        return bytes.subarray(0, at);
      case 3:
        return Buffer.concat([bytes, bytes]);
      case 4:
        return Buffer.concat([bytes.subarray(0, at), random.bytes(random.below(40)), bytes.subarray(at)]);
      case 5: {
        // a record of any type and length, and what of it comes
        const head = Uint8Array.of(
          random.pick([20, 21, 22, 23, 24, 255]),
          3,
          random.below(5),
          random.u32(),
          random.u32(),
        );
        return Buffer.concat([head, random.bytes(random.below(300)), bytes]);
      }
      default:
        return random.bytes(random.below(600));
    }
  }

  /** An end: whether it goes on, done, or waits, until it throws what it may. */
  class Victim {
    readonly connection: TlsConnection;
    done = false;
    over = false;

    constructor(context: TlsContext) {
      this.connection = context.open();
    }

    goOn(): void {
      if (this.over) return;
      try {
        this.done ||= this.connection.shakeHands();
        while (this.done) {
          const bytes = this.connection.read();
          if (bytes === null) this.over = true;
          if (bytes === null || bytes === undefined) return;
          this.connection.write(bytes.subarray(0, 10));
        }
      } catch (error) {
        assert.ok(error instanceof TlsError, String(error));
        this.over = true;
      }
    }
  }

  for (const version of ['TLSv1.2', 'TLSv1.3'] as const)
    test(`both ends refuse them or wait, ${version}`, () => {
      const contexts = [contextOf('server'), contextOf('client', { maxVersion: version })];
      const outcomes = { over: 0, waiting: 0, done: 0 };
      for (let i = 0; i < CASES; i++) {
        const random = new SeededRandom(SEED + i);
        const ends = contexts.map((context) => new Victim(context));
        const when = random.below(8);
        for (let turn = 0; turn < 10; turn++) {
          const [to, from] = turn % 2 === 0 ? ends : ends.toReversed();
          from.goOn();
          if (from.done && !from.over && turn < 8) from.connection.write(random.bytes(20));
          const records = from.connection.takeRecords();
          if (records === undefined || to.over) continue;
          const given = turn >= when && random.chance(0.7) ? mutated(records, random) : records;
          const piece = random.pick([1, 7, 1100, 100_000]);
          for (let at = 0; at < given.length && !to.over; at += piece) {
            to.connection.giveRecords(given.subarray(at, at + piece));
            to.goOn();
          }
        }
        for (const { connection, done, over } of ends) {
          outcomes[over ? 'over' : done ? 'done' : 'waiting']++;
          if (done && !over) assert.equal(connection.verifyError(), undefined, `seed ${SEED + i}`);
          connection.free();
        }
      }
      for (const count of Object.values(outcomes)) assert.ok(count > CASES / 50, JSON.stringify(outcomes));
    });
});
