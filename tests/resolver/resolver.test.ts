import assert from 'node:assert/strict';
import { Resolver as NodeResolver } from 'node:dns/promises';
import { describe, test, type TestContext } from 'node:test';
import packet from 'dns-packet';
import { NameSetBuilder } from '../../packages/resolver/src/name-set.ts';
import { address, answer, dataOf, plainServer, queryBytes, soa, World, type Behaviour, type FakeServer } from './name-world.ts'; // prettier-ignore

async function upstream(t: TestContext, behaviour: Behaviour): Promise<FakeServer> {
  const server = await plainServer(behaviour);
  t.after(() => {
    server.close();
  });
  return server;
}

async function world(t: TestContext, ...given: Parameters<typeof World.open>): Promise<World> {
  const opened = await World.open(...given);
  t.after(() => {
    opened.close();
  });
  return opened;
}

const at = (server: { port: number }): string => `udp://127.0.0.1:${server.port}`;

describe('what a client asks', () => {
  test('is answered by UDP and TCP, to a real client as well', async (t) => {
    const server = await upstream(t, (asked) => address(asked));
    const names = await world(t, { upstreams: [at(server)] });
    for (const tcp of [false, true]) {
      const answered = await names.ask({ name: 'WWW.Example.COM', tcp });
      assert.deepEqual([answered.id, answered.rcode, dataOf(answered)], [0x1234, 'NOERROR', ['192.0.2.1']]);
      assert.equal(answered.questions?.[0]?.name, 'WWW.Example.COM', 'the question as it was written');
      assert.deepEqual(
        [answered.flag_qr, answered.flag_rd, answered.flag_ra, answered.flag_aa],
        [true, true, true, false],
      );
      assert.deepEqual(answered.additionals, [], 'no EDNS for who does not speak it');
    }
    const client = new NodeResolver({ timeout: 20_000, tries: 1 });
    client.setServers([`127.0.0.1:${names.port}`]);
    assert.deepEqual(await client.resolve4('node.example.com', { ttl: true }), [{ address: '192.0.2.1', ttl: 300 }]);
  });

  test('is refused where it is no ordinary question', async (t) => {
    const server = await upstream(t, (asked) => address(asked));
    const names = await world(t, { upstreams: [at(server)] });
    for (const type of ['ANY', 'AXFR', 'IXFR', 'TKEY']) {
      for (const tcp of [false, true]) assert.equal((await names.ask({ type, tcp })).rcode, 'REFUSED', type);
    }
    const changed = (change: (bytes: Buffer) => void): Buffer => {
      const bytes = queryBytes({});
      change(bytes);
      return bytes;
    };
    const chaos = await names.ask({ bytes: changed((bytes) => bytes.writeUInt16BE(3, bytes.length - 2)) });
    assert.equal(chaos.rcode, 'REFUSED', 'another class');
    assert.equal((await names.ask({ bytes: changed((bytes) => bytes.writeUInt16BE(0x2900, 2)) })).rcode, 'NOTIMP');
    for (const offset of [4, 6, 8, 10]) {
      const bytes = changed((message) => message.writeUInt16BE(3, offset));
      assert.equal((await names.ask({ bytes })).rcode, 'FORMERR', `counts at ${offset}`);
    }
    const trailing = Buffer.concat([queryBytes({}), Buffer.of(0)]);
    assert.equal((await names.ask({ bytes: trailing })).rcode, 'FORMERR');
    const pointer = Buffer.concat([queryBytes({}).subarray(0, 12), Buffer.of(0xc0, 0x04, 0, 1, 0, 1)]);
    assert.equal((await names.ask({ bytes: pointer })).rcode, 'FORMERR', 'a name that points into the header');
    const badVersion = await names.ask({ edns: { version: 1 } });
    assert.deepEqual([badVersion.rcode, (badVersion.additionals?.[0] as packet.OptAnswer | undefined)?.extendedRcode], ['NOERROR', 1]); // prettier-ignore
    assert.equal(server.asked.length, 0);
  });

  test('gets no answer where it is an answer, or too short for one', async (t) => {
    const names = await world(t, { upstreams: ['udp://127.0.0.1:1'] });
    const response = queryBytes({});
    response.writeUInt16BE(0x8180, 2);
    assert.equal(await names.tryAsk({ bytes: response }), undefined);
    assert.equal(await names.tryAsk({ bytes: Buffer.alloc(11) }), undefined);
    assert.equal(await names.tryAsk({ bytes: response, tcp: true }), undefined);
  });

  test('what does not fit is cut off by UDP, and comes whole by TCP', async (t) => {
    const many = Array.from({ length: 60 }, (_, i): packet.Answer => ({ type: 'A', name: 'many.example', ttl: 60, data: `192.0.2.${i}` })); // prettier-ignore
    const server = await upstream(t, (asked) => (asked.way === 'udp' ? answer(asked, { flags: packet.TRUNCATED_RESPONSE }) : answer(asked, { answers: many }))); // prettier-ignore
    const names = await world(t, { upstreams: [at(server)] });
    const cut = await names.ask({ name: 'many.example' });
    assert.deepEqual([cut.flag_tc, cut.answers?.length, cut.bytes.length < 512], [true, 0, true]);
    const large = await names.ask({ name: 'many.example', edns: { bytes: 65_000 } });
    assert.deepEqual(
      [large.flag_tc, large.bytes.length <= 1232],
      [true, true],
      'no fragments, whatever the client says',
    );
    const whole = await names.ask({ name: 'many.example', tcp: true });
    assert.deepEqual([whole.flag_tc, whole.answers?.length], [false, 60]);
    assert.deepEqual(server.asked.map(({ way }) => way), ['udp', 'tcp'], 'asked once, by both ways'); // prettier-ignore
  });

  test('DO, AD and CD go on, EDNS is between neighbours', async (t) => {
    const server = await upstream(t, (asked) =>
      answer(asked, {
        flags: packet.AUTHENTIC_DATA,
        answers: [{ type: 'A', name: asked.name, ttl: 60, data: '192.0.2.1' }],
        additionals: [
          {
            type: 'OPT',
            name: '.',
            udpPayloadSize: 4096,
            flags: 0,
            extendedRcode: 0,
            ednsVersion: 0,
            flag_do: false,
            options: [{ code: 12, length: 40 }],
          },
        ],
      }),
    );
    const names = await world(t, { upstreams: [at(server)] });
    const signed = await names.ask({ edns: { dnssecOk: true } });
    assert.equal(signed.flag_ad, true);
    const opt = signed.additionals?.[0] as packet.OptAnswer | undefined;
    assert.deepEqual([opt?.udpPayloadSize, opt?.flag_do, opt?.options], [1232, true, []]);
    const plain = await names.ask({ flags: packet.RECURSION_DESIRED | packet.CHECKING_DISABLED });
    assert.deepEqual([plain.flag_ad, plain.flag_cd, plain.additionals], [false, true, []]);
    assert.equal((await names.ask({ flags: packet.AUTHENTIC_DATA })).flag_ad, true);
    const sent = server.asked.map(({ query }) => [
      (query.additionals?.[0] as packet.OptAnswer | undefined)?.flag_do,
      query.flag_cd,
    ]);
    assert.deepEqual(sent, [[true, false], [false, true], [false, false]]); // prettier-ignore
  });
});

describe('the cache', () => {
  test('keeps answers for their time, and says how much of it is left', async (t) => {
    let nowMs = 0;
    const server = await upstream(t, (asked) => address(asked, '192.0.2.1', 100));
    const names = await world(t, { upstreams: [at(server)] }, { now: () => nowMs });
    const ttl = async (name: string): Promise<number | undefined> =>
      ((await names.ask({ name })).answers?.[0] as { ttl?: number } | undefined)?.ttl;
    assert.equal(await ttl('a.example'), 100);
    nowMs = 40_500;
    assert.equal(await ttl('A.example'), 60);
    assert.equal(server.asked.length, 1);
    nowMs = 100_000;
    assert.equal(await ttl('a.example'), 100);
    assert.equal(server.asked.length, 2);
    await names.ask({ name: 'a.example', edns: { dnssecOk: true } });
    assert.equal(server.asked.length, 3, 'with signatures it is another answer');
  });

  test('keeps that there is nothing by the SOA alone (RFC 2308)', async (t) => {
    let nowMs = 0;
    const server = await upstream(t, (asked) => {
      const authorities = asked.name.startsWith('lame') ? [] : [soa('example', 900, 30)];
      return answer(asked, { rcode: asked.name.includes('nx') ? 3 : 0, authorities });
    });
    const names = await world(t, { upstreams: [at(server)] }, { now: () => nowMs });
    for (const [name, asked] of [
      ['nx.example', 1],
      ['nodata.example', 1],
      ['lame-nx.example', 2],
    ] as const) {
      server.asked.length = 0;
      nowMs += 1_000_000;
      const first = await names.ask({ name });
      assert.equal(first.rcode, name.includes('nx') ? 'NXDOMAIN' : 'NOERROR');
      nowMs += 29_000;
      await names.ask({ name });
      assert.equal(server.asked.length, asked, name);
      nowMs += 1000;
      await names.ask({ name });
      assert.equal(server.asked.length, asked + 1, `${name} later`);
    }
  });

  test('knows nothing about a name but what was answered to the question for it', async (t) => {
    const server = await upstream(t, (asked) =>
      answer(asked, {
        answers: [
          { type: 'A', name: asked.name, ttl: 300, data: asked.name === 'evil.example' ? '192.0.2.66' : '192.0.2.1' },
          {
            type: 'A',
            name: 'bank.example',
            ttl: 300,
            data: asked.name === 'evil.example' ? '192.0.2.66' : '192.0.2.1',
          },
        ],
        additionals: [{ type: 'A', name: 'bank.example', ttl: 300, data: '192.0.2.66' }],
      }),
    );
    const names = await world(t, { upstreams: [at(server)] });
    await names.ask({ name: 'evil.example' });
    assert.equal(dataOf(await names.ask({ name: 'bank.example' }))[0], '192.0.2.1');
  });

  test('different names are different, whatever bytes they are made of', async (t) => {
    let lastByte = 0;
    const server = await upstream(t, ({ bytes }) => {
      // The library would write the name as another one.
      const question = bytes.subarray(0, bytes.length - 11);
      const record = Buffer.of(0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 1, 0, 0, 4, 192, 0, 2, ++lastByte);
      const message = Buffer.concat([question, record]);
      message.writeUInt16BE(0x8180, 2);
      message.writeUInt16BE(1, 6);
      message.writeUInt16BE(0, 10);
      return message;
    });
    const names = await world(t, { upstreams: [at(server)] });
    const name = (...labels: (string | number[])[]): Buffer => {
      const bytes = labels.map((label) => Buffer.from(label as string));
      const encoded = bytes.flatMap((label) => [Buffer.of(label.length), label]);
      return Buffer.concat([queryBytes({}).subarray(0, 12), ...encoded, Buffer.of(0, 0, 1, 0, 1)]);
    };
    const datas = new Set<string>();
    const asked = [name([0x31, 0xfe], 'example'), name([0x31, 0xff], 'example'), name('1.example'), name('1', 'example'), name('1\\.example')]; // prettier-ignore
    for (const bytes of [...asked, ...asked]) datas.add(String(dataOf(await names.ask({ bytes }))));
    assert.deepEqual([server.asked.length, datas.size], [5, 5]);
  });

  test('holds no more than it may', async (t) => {
    const server = await upstream(t, (asked) => address(asked));
    const names = await world(t, { upstreams: [at(server)] }, { cache: { entries: 3, bytes: 1_000_000 } });
    for (const name of ['a', 'b', 'c']) await names.ask({ name: `${name}.example` });
    await names.ask({ name: 'a.example' });
    assert.equal(server.asked.length, 3);
    await names.ask({ name: 'd.example' });
    await names.ask({ name: 'a.example' });
    assert.equal(server.asked.length, 4, 'what is asked for stays');
    await names.ask({ name: 'b.example' });
    assert.equal(server.asked.length, 5, 'the oldest that nobody asked for went');
  });

  test('equal questions under way are asked once', async (t) => {
    const open = Promise.withResolvers<undefined>();
    const server = await upstream(t, async (asked) => {
      await open.promise;
      return address(asked);
    });
    const names = await world(t, { upstreams: [at(server)] });
    const all = Array.from({ length: 20 }, (_, i) =>
      names.ask({ name: i % 2 === 0 ? 'same.example' : 'SAME.example' }),
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    open.resolve(undefined);
    const answers = await Promise.all(all);
    assert.equal(answers[1]?.questions?.[0]?.name, 'SAME.example');
    assert.ok(answers.every((answered) => dataOf(answered)[0] === '192.0.2.1'));
    assert.equal(server.asked.length, 1);
  });
});

describe('the plan', () => {
  test('hosts: addresses and their reverse names', async (t) => {
    const server = await upstream(t, (asked) => address(asked, '192.0.2.99'));
    const hosts = [{ name: 'Git.corp.example.', addresses: ['10.1.0.5', '10.1.0.6', 'fd00::5'] }];
    const names = await world(t, { upstreams: [at(server)], hosts });
    assert.deepEqual(dataOf(await names.ask({ name: 'git.CORP.example' })), ['10.1.0.5', '10.1.0.6']);
    assert.deepEqual(dataOf(await names.ask({ name: 'git.corp.example', type: 'AAAA' })), ['fd00::5']);
    const other = await names.ask({ name: 'git.corp.example', type: 'MX' });
    assert.deepEqual([other.rcode, other.answers, other.authorities?.[0]?.type], ['NOERROR', [], 'SOA']);
    assert.deepEqual(dataOf(await names.ask({ name: '5.0.1.10.in-addr.arpa', type: 'PTR' })), ['git.corp.example']);
    const reverse6 = `5.${'0.'.repeat(27)}0.0.d.f.ip6.arpa`;
    assert.deepEqual(dataOf(await names.ask({ name: reverse6, type: 'PTR' })), ['git.corp.example']);
    assert.equal(server.asked.length, 0);
    assert.deepEqual(dataOf(await names.ask({ name: 'other.corp.example' })), ['192.0.2.99']);
  });

  test('domains: the longest wins, and what is private goes there alone', async (t) => {
    const [outside, corp, lab] = await Promise.all(['1', '2', '3'].map((last) => upstream(t, (asked) => address(asked, `192.0.2.${last}`)))); // prettier-ignore
    const domains = [
      { domain: 'corp.example', servers: [`127.0.0.1:${corp.port}`] },
      { domain: 'lab.corp.example.', servers: [at(lab)] },
      { domain: '10.in-addr.arpa', servers: [at(corp)] },
    ];
    const names = await world(t, { upstreams: [at(outside)], domains });
    for (const [name, data] of [
      ['corp.example', '192.0.2.2'],
      ['a.corp.example', '192.0.2.2'],
      ['a.LAB.corp.example', '192.0.2.3'],
      ['notcorp.example', '192.0.2.1'],
      ['1.0.0.10.in-addr.arpa', '192.0.2.2'],
    ]) {
      assert.deepEqual(dataOf(await names.ask({ name: name })), [data], name);
    }
  });

  test('a domain whose servers are away is not asked elsewhere', async (t) => {
    const outside = await upstream(t, (asked) => address(asked));
    const domains = [{ domain: 'corp.example', servers: ['127.0.0.1:1'] }];
    const names = await world(t, { upstreams: [at(outside)], domains });
    assert.equal((await names.ask({ name: 'a.corp.example' })).rcode, 'SERVFAIL');
    assert.equal(outside.asked.length, 0);
  });

  test('what nobody out there can know is answered here', async (t) => {
    const server = await upstream(t, (asked) => address(asked));
    const names = await world(t, { upstreams: [at(server)] });
    assert.deepEqual(dataOf(await names.ask({ name: 'localhost' })), ['127.0.0.1']);
    assert.deepEqual(dataOf(await names.ask({ name: 'a.LocalHost', type: 'AAAA' })), ['::1']);
    assert.deepEqual(dataOf(await names.ask({ name: `${'\x01'.repeat(63)}.localhost` })), []);
    const zones = [
      'invalid', 'a.test', 'printer.local', 'a.onion', 'db.internal', 'nas.home.arpa', 'use-application-dns.net',
      '1.0.168.192.in-addr.arpa', '1.0.0.10.in-addr.arpa', '9.9.31.172.in-addr.arpa', '9.9.127.100.in-addr.arpa',
      '1.0.0.127.in-addr.arpa', '1.1.254.169.in-addr.arpa', '1.c.f.ip6.arpa', '1.d.f.ip6.arpa', 'b.e.f.ip6.arpa',
      `1.${'0.'.repeat(31)}ip6.arpa`,
    ]; // prettier-ignore
    for (const name of zones) {
      const answered = await names.ask({ name, type: 'PTR' });
      assert.deepEqual([answered.rcode, answered.authorities?.[0]?.type], ['NXDOMAIN', 'SOA'], name);
    }
    assert.equal((await names.ask({ name: '_dns.resolver.arpa', type: 'TXT' })).rcode, 'NOERROR');
    assert.equal(server.asked.length, 0);
    for (const name of [
      '1.0.15.172.in-addr.arpa',
      '1.0.32.172.in-addr.arpa',
      '8.8.8.8.in-addr.arpa',
      '1.0.63.100.in-addr.arpa',
      'mylocal',
      'c.e.f.ip6.arpa',
    ])
      // prettier-ignore
      assert.equal((await names.ask({ name })).rcode, 'NOERROR', name);
    assert.equal(server.asked.length, 6);
  });

  test('blocked names, with all below them; lists give way to the domains of the plan', async (t) => {
    const server = await upstream(t, (asked) => address(asked));
    const names = await world(t, {
      upstreams: [at(server)],
      blocked: ['Ads.example.'],
      hosts: [{ name: 'ok.ads.example', addresses: ['10.0.0.1'] }],
      domains: [{ domain: 'corp.example', servers: [at(server)] }],
    });
    const builder = new NameSetBuilder();
    for (const name of ['tracker.example', 'www.corp.example']) builder.add(name);
    names.resolver.setBlockLists(builder.finish());
    for (const name of ['ads.example', 'x.y.ADS.example', 'tracker.example', 'a.tracker.example']) {
      const blocked = await names.ask({ name, edns: {} });
      assert.deepEqual([blocked.rcode, blocked.authorities?.[0]?.type], ['NXDOMAIN', 'SOA'], name);
      const [option] = (blocked.additionals?.[0] as packet.OptAnswer | undefined)?.options ?? [];
      assert.deepEqual([option?.code, option?.data], [15, Buffer.of(0, 15)], 'the extended error "blocked"');
    }
    for (const name of ['ok.ads.example', 'badads.example', 'example', 'mytracker.example', 'www.corp.example'])
      assert.equal((await names.ask({ name })).rcode, 'NOERROR', name);
    assert.equal(names.resolver.statistics.blocked, 4);
  });

  test('another one holds at once, and what is under way is still answered', async (t) => {
    const open = Promise.withResolvers<undefined>();
    const old = await upstream(t, async (asked) => {
      await open.promise;
      return address(asked, '192.0.2.1');
    });
    const next = await upstream(t, (asked) => address(asked, '192.0.2.2'));
    const names = await world(t, { upstreams: [at(old)] });
    const early = names.ask({ name: 'a.example' });
    while (old.asked.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    names.resolver.setPlan({ upstreams: [at(next)], blocked: [], blockLists: [], hosts: [], domains: [] });
    assert.deepEqual(dataOf(await names.ask({ name: 'a.example' })), ['192.0.2.2']);
    open.resolve(undefined);
    assert.deepEqual(dataOf(await early), ['192.0.2.1']);
    assert.deepEqual(dataOf(await names.ask({ name: 'a.example' })), ['192.0.2.2']);
  });
});

describe('limits', () => {
  test('a client that asks too much is not answered for a while; others are not answered at all', async (t) => {
    const server = await upstream(t, (asked) => address(asked));
    const limits = { perSecond: 0.001, burst: 5, pending: 100 };
    const names = await world(t, { upstreams: [at(server)] }, {}, { limits, clients: ['127.0.0.0/8'] });
    const answers = await Promise.all(Array.from({ length: 12 }, () => names.tryAsk({ name: 'localhost' }, 3000)));
    assert.equal(answers.filter((answered) => answered !== undefined).length, 5);
    const closed = await world(t, { upstreams: [at(server)] }, {}, { clients: ['10.77.0.0/16', 'fd00::/8'] });
    assert.equal(await closed.tryAsk({ name: 'localhost' }), undefined);
    assert.equal(await closed.tryAsk({ name: 'localhost', tcp: true }), undefined);
  });

  test('questions under way are bounded, of one client and of all', async (t) => {
    const server = await upstream(t, () => undefined);
    const limits = { perSecond: 1000, burst: 1000, pending: 3 };
    const one = await world(t, { upstreams: [at(server)] }, {}, { limits });
    void Promise.all(Array.from({ length: 10 }, (_, i) => one.tryAsk({ name: `${i}.example` })));
    while (server.asked.length < 3) await new Promise((resolve) => setTimeout(resolve, 5));
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(server.asked.length, 3);
    const all = await world(t, { upstreams: [at(server)] }, { maxPending: 3 });
    // Sooner than the questions that got through are asked again.
    const answers = await Promise.all(Array.from({ length: 10 }, (_, i) => all.tryAsk({ name: `${i}.example` }, 700)));
    assert.equal(answers.filter((answered) => answered?.rcode === 'SERVFAIL').length, 7);
    assert.equal(server.asked.length, 6);
  });
});
