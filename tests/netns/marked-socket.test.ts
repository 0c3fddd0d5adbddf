/** Sockets that carry a mark from their first packet on, keep to an interface, and give up in time. */
import assert from 'node:assert/strict';
import { join, resolve } from 'node:path';
import { after, before, test } from 'node:test';
import { Laboratory, wire, type NetworkNamespace } from '@sallyport/netlab';

const root = resolve(import.meta.dirname, '../..');
let laboratory: Laboratory;
let namespace: NetworkNamespace;

before(async () => {
  laboratory = Laboratory.open();
  namespace = await laboratory.namespace('marked');
  const neighbour = await laboratory.namespace('neighbour');
  await wire(
    { namespace, name: 'eth0', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
    { namespace: neighbour, name: 'eth0', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
  );
  // Nothing answers there.
  await neighbour.nft(
    'table inet silent { chain input { type filter hook input priority 0; tcp dport 7002 drop; }; }\n',
  );
  await namespace.route('192.0.2.2/32', 'dev', 'eth0', 'mtu', 'lock', '1280');
  // Whatever has no mark doesn't get out: that all of it arrives shows that all of it is marked.
  await namespace.nft(`table inet marks { chain output { type filter hook output priority 0;
    tcp dport 7000-7002 tcp flags & (syn | ack) == syn meta mark != 0x5a11 drop
    udp dport 7003 meta mark != 0x5a11 drop
    udp dport 7003 counter
  }; }\n`);
});
after(() => laboratory.close());

interface Result {
  readonly tcp: { readonly connected: string; readonly refused: string; readonly silent: string };
  readonly byDevice: string;
  readonly noDevice: string;
  readonly fits: string;
  readonly tooLarge: string;
  readonly batch: string;
  readonly forced: number;
  readonly missed: number;
  readonly seen: readonly string[];
}

test('marked, bound, in time; probes that no route holds down; what leaves is seen', async () => {
  for (const [own, peer] of [
    ['192.0.2.1', '192.0.2.2'],
    ['2001:db8::1', '192.0.2.2'],
  ] as const) {
    // prettier-ignore
    const child = [join(root, 'scripts/node'), join(import.meta.dirname, 'marked-socket-child.ts'), own, peer];
    const result = JSON.parse((await namespace.run(child)).stdout) as Result;
    assert.equal(result.tcp.connected, 'hello');
    assert.match(result.tcp.refused, /ECONNREFUSED/);
    assert.match(result.tcp.silent, /no connection to 192\.0\.2\.2 within 300 ms/);
    assert.deepEqual(
      [result.byDevice, result.noDevice, result.fits, result.tooLarge],
      ['sent', 'ENODEV', 'sent', 'EMSGSIZE'],
    );
    assert.match(result.batch, /rule delete priority 9999/);
    assert.equal(result.forced, 2);
    assert.equal(result.missed, 0);
    assert.deepEqual(result.seen.filter((address) => address === peer).length, 2, 'each datagram once, unfragmented');
  }
});
