/** Name servers that fail in every way, forgers among them, and what comes of it. */
import assert from 'node:assert/strict';
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { test, type TestContext } from 'node:test';
import packet from 'dns-packet';
import { parseUpstream } from '@sallyport/resolver';
import { address, answer, certificateFor, dataOf, httpsServer, plainServer, tlsServer, World, type Behaviour, type FakeServer } from './name-world.ts'; // prettier-ignore

async function opened<T extends { close(): void }>(t: TestContext, opening: Promise<T>): Promise<T> {
  const one = await opening;
  t.after(() => {
    one.close();
  });
  return one;
}

const plain = (t: TestContext, behaviour: Behaviour): Promise<FakeServer> => opened(t, plainServer(behaviour));
const at = (server: { port: number }): string => `udp://127.0.0.1:${server.port}`;

function forged(real: Buffer, change: (message: Buffer) => void): Buffer {
  const message = Buffer.from(real);
  change(message);
  return message;
}

test('a forged answer is not taken, the real one behind it is', async (t) => {
  const forgeries: Record<string, (real: Buffer) => Buffer> = {
    'another id': (real) => forged(real, (message) => message.writeUInt16BE(message.readUInt16BE(0) ^ 1, 0)),
    'another name': (real) => forged(real, (message) => (message[14] ^= 1)),
    'another type': (real) => forged(real, (message) => message.writeUInt16BE(28, message.indexOf(0, 13) + 1)),
    'another class': (real) => forged(real, (message) => message.writeUInt16BE(3, message.indexOf(0, 13) + 3)),
    'a question': (real) => forged(real, (message) => message.writeUInt16BE(0x0100, 2)),
    'no question': (real) => forged(real, (message) => message.writeUInt16BE(0, 4)),
    'too short': (real) => real.subarray(0, 20),
    nothing: () => Buffer.alloc(0),
  };
  for (const [what, forge] of Object.entries(forgeries)) {
    const server = await plain(t, (asked) => [forge(address(asked, '192.0.2.66')), address(asked, '192.0.2.1')]);
    const names = await opened(t, World.open({ upstreams: [at(server)] }));
    assert.deepEqual(dataOf(await names.ask({ name: 'aaaa.example' })), ['192.0.2.1'], what);
    assert.equal(server.asked.length, 1, what);
  }
});

test('an answer from somebody else, to the right port with the right id, does not come through', async (t) => {
  const stranger = createSocket('udp4').bind(0, '127.0.0.2');
  await once(stranger, 'listening');
  t.after(() => {
    stranger.close();
  });
  const server = createSocket('udp4').bind(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
  });
  server.on('message', (bytes, from) => {
    const query = packet.decode(bytes);
    const reply = (data: string): Buffer => {
      const name = query.questions?.[0]?.name ?? '';
      return packet.encode({ type: 'response', id: query.id ?? 0, flags: 0x180, questions: query.questions ?? [], answers: [{ type: 'A', name, ttl: 60, data }] }); // prettier-ignore
    };
    stranger.send(reply('192.0.2.66'), from.port, from.address, () => {
      setTimeout(() => {
        server.send(reply('192.0.2.1'), from.port, from.address);
      }, 50);
    });
  });
  const names = await opened(t, World.open({ upstreams: [`udp://127.0.0.1:${server.address().port}`] }));
  assert.deepEqual(dataOf(await names.ask({})), ['192.0.2.1']);
});

test('each question has a port, an id and letters of its own', async (t) => {
  const ports = new Set<number>();
  const server = createSocket('udp4').bind(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.close();
  });
  const ids = new Set<number>();
  const spellings = new Set<string>();
  server.on('message', (bytes, from) => {
    const query = packet.decode(bytes);
    ports.add(from.port);
    ids.add(query.id ?? 0);
    const name = query.questions?.[0]?.name ?? '';
    spellings.add(name.slice(name.indexOf('.')));
    server.send(packet.encode({ type: 'response', id: query.id ?? 0, questions: query.questions ?? [] }), from.port, from.address); // prettier-ignore
  });
  const names = await opened(t, World.open({ upstreams: [`udp://127.0.0.1:${server.address().port}`] }));
  for (let i = 0; i < 40; i++) await names.ask({ name: `${i}.quite-a-long-name.example.com` });
  assert.ok(ports.size > 35 && ids.size > 35 && spellings.size > 35, `${ports.size} ${ids.size} ${spellings.size}`);
});

test('a guesser is not given time: after a handful of wrong answers TCP is asked', async (t) => {
  const server = await plain(
    t,
    (asked) =>
    asked.way === 'tcp'
      ? address(asked, '192.0.2.1')
      : Array.from({ length: 50 }, (_, i) => forged(address(asked, '192.0.2.66'), (message) => message.writeUInt16BE(message.readUInt16BE(0) ^ (i + 1), 0))), // prettier-ignore
  );
  const names = await opened(t, World.open({ upstreams: [at(server)] }));
  assert.deepEqual(dataOf(await names.ask({})), ['192.0.2.1']);
});

test('a server that writes the name back in small letters is asked by TCP', async (t) => {
  const server = await plain(t, (asked) => {
    const lower = asked.query.questions?.map((question) => ({ ...question, name: question.name.toLowerCase() })) ?? [];
    return answer(asked, { questions: lower, answers: [{ type: 'A', name: asked.name, ttl: 60, data: asked.way === 'tcp' ? '192.0.2.1' : '192.0.2.66' }] }); // prettier-ignore
  });
  const names = await opened(t, World.open({ upstreams: [at(server)] }));
  assert.deepEqual(dataOf(await names.ask({ name: 'quite-a-long-name.example' })), ['192.0.2.1']);
});

test('the next server answers for one that does not, and the one that does not is asked last from then on', async (t) => {
  const cases: Record<string, Behaviour> = {
    silent: () => undefined,
    garbage: (asked) => Buffer.concat([address(asked).subarray(0, -3)]),
    servfail: (asked) => answer(asked, { rcode: 2 }),
    refused: (asked) => answer(asked, { rcode: 5 }),
  };
  for (const [what, behaviour] of Object.entries(cases)) {
    const bad = await plain(t, behaviour);
    const good = await plain(t, (asked) => address(asked));
    const names = await opened(t, World.open({ upstreams: [at(bad), at(good)] }));
    for (let i = 0; i < 6; i++) assert.equal((await names.ask({ name: `${i}.example` })).rcode, 'NOERROR', what);
    assert.equal(bad.asked.length, { silent: 3, garbage: 1 }[what] ?? 6, what);
  }
  const good = await plain(t, (asked) => address(asked));
  const names = await opened(t, World.open({ upstreams: ['udp://127.0.0.1:1', 'tls://127.0.0.1:1', 'https://127.0.0.1:1/', at(good)] })); // prettier-ignore
  assert.equal((await names.ask({})).rcode, 'NOERROR', 'nobody there');
  // The kernel refuses this address as it does one to which no route leads.
  const cutOff = await opened(t, World.open({ upstreams: ['udp://255.255.255.255:53', at(good)] }));
  assert.equal((await cutOff.ask({})).rcode, 'NOERROR', 'no way there');
});

test('where all fail the client hears so, and they are not asked again at once', async (t) => {
  let nowMs = 0;
  const server = await plain(t, () => undefined);
  const names = await opened(t, World.open({ upstreams: [at(server)] }, { now: () => nowMs }));
  assert.equal((await names.ask({})).rcode, 'SERVFAIL');
  const tries = server.asked.length;
  assert.equal(tries, 3);
  assert.equal((await names.ask({})).rcode, 'SERVFAIL');
  assert.equal(server.asked.length, tries);
  nowMs = 2001;
  assert.equal((await names.ask({})).rcode, 'SERVFAIL');
  assert.equal(server.asked.length, 2 * tries);
  const refusing = await plain(t, (asked) => answer(asked, { rcode: 2 }));
  const other = await opened(t, World.open({ upstreams: [at(refusing)] }));
  assert.equal((await other.ask({})).rcode, 'SERVFAIL');
});

test('over TLS: one connection, questions side by side, each answer to its own', async (t) => {
  const certificate = certificateFor('dns.example');
  const server = await opened(t, tlsServer(certificate, async (asked) => {
    // The first ones last.
    await new Promise((resolve) => setTimeout(resolve, 200 - 10 * Number(asked.name.split('.')[0])));
    return address(asked, `192.0.2.${asked.name.split('.')[0]}`);
  })); // prettier-ignore
  const upstreams = [`tls://127.0.0.1:${server.port}#dns.example`];
  const names = await opened(t, World.open({ upstreams }, { context: certificate.context }));
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => names.ask({ name: `${i}.example` })));
  assert.deepEqual(answers.map((answered) => dataOf(answered)[0]), Array.from({ length: 20 }, (_, i) => `192.0.2.${i}`)); // prettier-ignore
  assert.deepEqual([server.connections(), server.names], [1, ['dns.example']]);
  assert.ok(
    server.asked.every(({ bytes }) => bytes.length % 128 === 0),
    'padded',
  );
});

test('over TLS: a server that closes is connected to again, before another one is asked', async (t) => {
  const certificate = certificateFor('127.0.0.1');
  let closes = false;
  const server = await opened(t, tlsServer(certificate, (asked) => {
    if (!closes) return address(asked);
    closes = false;
    return Buffer.alloc(0);
  })); // prettier-ignore
  const other = await plain(t, (asked) => address(asked));
  const upstreams = [`tls://127.0.0.1:${server.port}`, at(other)];
  const names = await opened(t, World.open({ upstreams }, { context: certificate.context }));
  assert.equal((await names.ask({ name: '1.example' })).rcode, 'NOERROR');
  closes = true;
  assert.equal((await names.ask({ name: '2.example' })).rcode, 'NOERROR');
  assert.deepEqual([server.connections(), other.asked.length], [2, 0]);
});

test('over TLS and HTTPS: a certificate for another name, or by nobody known, is refused', async (t) => {
  const certificate = certificateFor('dns.example', '127.0.0.1');
  const tls = await opened(
    t,
    tlsServer(certificate, (asked) => address(asked)),
  );
  const https = await opened(
    t,
    httpsServer(certificate, (asked) => address(asked)),
  );
  const rcode = async (upstream: string, known = true): Promise<string> => {
    const names = await opened(t, World.open({ upstreams: [upstream] }, known ? { context: certificate.context } : {}));
    return (await names.ask({})).rcode;
  };
  assert.equal(await rcode(`tls://127.0.0.1:${tls.port}#dns.example`), 'NOERROR');
  assert.equal(await rcode(`tls://127.0.0.1:${tls.port}`), 'NOERROR');
  assert.equal(await rcode(`https://127.0.0.1:${https.port}/dns-query`), 'NOERROR');
  const asked = tls.asked.length + https.asked.length;
  assert.equal(await rcode(`tls://127.0.0.1:${tls.port}#other.example`), 'SERVFAIL');
  assert.equal(await rcode(`https://localhost:${https.port}/dns-query`), 'SERVFAIL');
  assert.equal(await rcode(`tls://127.0.0.1:${tls.port}#dns.example`, false), 'SERVFAIL');
  assert.equal(await rcode(`https://127.0.0.1:${https.port}/dns-query`, false), 'SERVFAIL');
  assert.equal(tls.asked.length + https.asked.length, asked, 'nothing was said to them');
});

test('over HTTPS: by POST on one connection (RFC 8484), again where it was closed', async (t) => {
  const certificate = certificateFor('127.0.0.1');
  let closes = false;
  const server = await opened(
    t,
    httpsServer(certificate, (asked) => {
      if (!closes) return address(asked);
      closes = false;
      server.drop();
      return undefined;
    }),
  );
  const other = await plain(t, (asked) => address(asked));
  const upstreams = [`https://127.0.0.1:${server.port}/dns-query?a=b`, at(other)];
  const names = await opened(t, World.open({ upstreams }, { context: certificate.context }));
  const answers = await Promise.all(Array.from({ length: 20 }, (_, i) => names.ask({ name: `${i}.example` })));
  assert.ok(answers.every(({ rcode, id }) => rcode === 'NOERROR' && id === 0x1234));
  assert.equal(server.connections(), 1);
  const [headers = {}] = server.headers;
  assert.deepEqual([headers[':method'], headers[':path'], headers['content-type'], headers['accept']], ['POST', '/dns-query?a=b', 'application/dns-message', 'application/dns-message']); // prettier-ignore
  closes = true;
  assert.equal((await names.ask({ name: 'again.example' })).rcode, 'NOERROR');
  assert.deepEqual([server.connections(), other.asked.length], [2, 0]);
  assert.ok(server.asked.every(({ bytes, query }) => query.id === 0 && bytes.length % 128 === 0));
});

test('over HTTPS: what is no answer is none', async (t) => {
  const certificate = certificateFor('127.0.0.1');
  for (const [behaviour, status] of [
    [(asked) => address(asked), 404],
    [() => Buffer.from('<html>'), 200],
    [() => Buffer.alloc(100_000), 200],
  ] as [Behaviour, number][]) {
    const server = await opened(t, httpsServer(certificate, behaviour, status));
    const upstreams = [`https://127.0.0.1:${server.port}/`];
    const names = await opened(t, World.open({ upstreams }, { context: certificate.context }));
    assert.equal((await names.ask({})).rcode, 'SERVFAIL');
  }
});

test('addresses of name servers', () => {
  assert.deepEqual(parseUpstream('192.0.2.53'), { kind: 'udp', host: '192.0.2.53', port: 53 });
  assert.deepEqual(parseUpstream('[2001:db8::1]:5353'), { kind: 'udp', host: '2001:db8::1', port: 5353 });
  assert.deepEqual(parseUpstream('2001:db8::1'), { kind: 'udp', host: '2001:db8::1', port: 53 });
  assert.deepEqual(parseUpstream('udp://192.0.2.53:53'), { kind: 'udp', host: '192.0.2.53', port: 53 });
  assert.deepEqual(parseUpstream('tls://9.9.9.9#dns.quad9.net'), { kind: 'tls', host: '9.9.9.9', port: 853, name: 'dns.quad9.net' }); // prettier-ignore
  assert.deepEqual(parseUpstream('tls://[2620:fe::fe]:8853'), { kind: 'tls', host: '2620:fe::fe', port: 8853, name: '2620:fe::fe' }); // prettier-ignore
  assert.deepEqual(parseUpstream('https://dns.quad9.net/dns-query'), { kind: 'https', origin: 'https://dns.quad9.net', path: '/dns-query' }); // prettier-ignore
  for (const text of [
    '',
    'http://dns.example/',
    'udp://192.0.2.1:53/path',
    'udp://192.0.2.1#name',
    'tls://user@9.9.9.9',
    'https://a/b#c',
    'udp://192.0.2.1:0',
    'udp://192.0.2.1:99999',
    '://',
  ])
    // prettier-ignore
    assert.equal(parseUpstream(text), undefined, text);
});
