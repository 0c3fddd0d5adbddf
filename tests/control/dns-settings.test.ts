import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { canonicalNameServer, canonicalUrl } from '@sallyport/api';
import { planGateway } from '@sallyport/policy';
import { accessWorld } from './access-world.ts';

describe('name servers', () => {
  test('are written in one form', () => {
    for (const [text, canonical] of [
      ['192.0.2.53', 'udp://192.0.2.53:53'],
      ['2001:DB8::53', 'udp://[2001:db8::53]:53'],
      ['udp://192.0.2.53', 'udp://192.0.2.53:53'],
      ['udp://[2001:db8:0::53]:5353', 'udp://[2001:db8::53]:5353'],
      ['tls://9.9.9.9#DNS.quad9.net', 'tls://9.9.9.9:853#dns.quad9.net'],
      ['tls://9.9.9.9:853', 'tls://9.9.9.9:853'],
      ['https://dns.quad9.net/dns-query', 'https://dns.quad9.net/dns-query'],
      ['https://9.9.9.9:8443/q', 'https://9.9.9.9:8443/q'],
    ] as const) {
      assert.equal(canonicalNameServer(text), canonical);
      assert.equal(canonicalNameServer(canonical), canonical);
    }
  });

  test('that nobody could ask are none', () => {
    for (const text of [
      '',
      'dns.quad9.net',
      'udp://dns.quad9.net:53',
      'udp://192.0.2.53:0',
      'udp://192.0.2.53:65536',
      'udp://192.0.2.53#name.example',
      'udp://2001:db8::53',
      'udp://[192.0.2.53]:53',
      'tls://dns.quad9.net:853',
      'tls://9.9.9.9#',
      'tls://9.9.9.9#bad name',
      'tls://9.9.9.9#9.9.9.9',
      'tls://9.9.9.9/path',
      'tcp://192.0.2.53:53',
      'http://dns.example/dns-query',
      'https://user:secret@dns.example/q',
      'https://dns.example/q#part',
      'https://',
      'https:// dns.example/',
      `https://dns.example/${'q'.repeat(300)}`,
      'file:///etc/passwd',
    ])
      assert.equal(canonicalNameServer(text), undefined, text);
    assert.equal(canonicalUrl('https://lists.example/hosts?x=1'), 'https://lists.example/hosts?x=1');
  });
});

test('settings of names are canonical, and what every gateway is told', async () => {
  await using world = await accessWorld();
  await world.addGateway('oslo');
  const planned = () => planGateway(world.directory.model, 'oslo', world.now).gateway.names;
  assert.deepEqual(planned(), { upstreams: [], blockLists: [], blocked: [], hosts: [], domains: [] });
  const dns = {
    upstreams: ['9.9.9.9', 'tls://9.9.9.9#dns.quad9.net', 'udp://9.9.9.9:53'],
    blockLists: ['https://lists.example/hosts'],
    blocked: ['Ads.Example', 'ads.example'],
    hosts: [{ name: 'Wiki.corp.example', addresses: ['10.20.0.5', 'FD20::5'] }],
    domains: [{ domain: 'corp.example', servers: ['10.20.0.53'] }],
  };
  const saved = await world.call('root', 'PATCH', '/settings', { dns }, 1);
  assert.equal(saved.status, 200, saved.text);
  const names = {
    upstreams: ['udp://9.9.9.9:53', 'tls://9.9.9.9:853#dns.quad9.net'],
    blockLists: ['https://lists.example/hosts'],
    blocked: ['ads.example'],
    hosts: [{ name: 'wiki.corp.example', addresses: ['10.20.0.5', 'fd20::5'] }],
    domains: [{ domain: 'corp.example', servers: ['udp://10.20.0.53:53'] }],
  };
  assert.deepEqual(saved.body.dns, { servers: [], searchDomains: [], ...names });
  assert.deepEqual(planned(), names);
  // What is not given stays, and what stays is no other object to the planner.
  const before = world.directory.model.names;
  assert.equal(
    (await world.call('root', 'PATCH', '/settings', { auditAddresses: true, dns: { searchDomains: ['x.example'] } }, 2))
      .status,
    200,
  );
  assert.equal(world.directory.model.names, before);
});

test('settings of names that are faulty are refused', async () => {
  await using world = await accessWorld();
  for (const [dns, at] of [
    [{ upstreams: ['dns.quad9.net'] }, '/body/dns/upstreams/0'],
    [{ blockLists: ['http://lists.example/hosts'] }, '/body/dns/blockLists/0'],
    [{ blocked: ['ok.example', '192.0.2.1'] }, '/body/dns/blocked/1'],
    [{ blocked: ['not a name'] }, '/body/dns/blocked/0'],
    [{ hosts: [{ name: 'a.example', addresses: [] }] }, '/body/dns/hosts/0/addresses'],
    [{ hosts: [{ name: 'a.example', addresses: ['b.example'] }] }, '/body/dns/hosts/0/addresses/0'],
    [
      {
        hosts: [
          { name: 'a.example', addresses: ['192.0.2.1'] },
          { name: 'A.example', addresses: ['192.0.2.2'] },
        ],
      },
      '/body/dns/hosts/1/name',
    ],
    [{ domains: [{ domain: '10.0.0.1', servers: ['10.0.0.53'] }] }, '/body/dns/domains/0/domain'],
    [{ domains: [{ domain: 'corp.example', servers: ['tcp://10.0.0.53'] }] }, '/body/dns/domains/0/servers/0'],
  ] as const) {
    const { status, body } = await world.call('root', 'PATCH', '/settings', { dns }, 1);
    assert.deepEqual([status, body.faults[0]?.at], [400, at]);
  }
});

test('settings from before gateways answered names are read as such without any', async () => {
  await using world = await accessWorld();
  const { value } = await world.store.db.selectFrom('settings').select('value').executeTakeFirstOrThrow();
  const old = { ...(JSON.parse(value) as object), dns: { servers: ['9.9.9.9'], searchDomains: [] } };
  await world.store.db
    .updateTable('settings')
    .set({ value: JSON.stringify(old) })
    .execute();
  const { body, status } = await world.call('root', 'GET', '/settings');
  assert.equal(status, 200);
  assert.deepEqual(body.dns, {
    servers: ['9.9.9.9'],
    searchDomains: [],
    upstreams: [],
    blockLists: [],
    blocked: [],
    hosts: [],
    domains: [],
  });
});
