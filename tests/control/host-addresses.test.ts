import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { HostAddresses } from '../../packages/control/src/hub/host-addresses.ts';

const PATIENCE_MS = 20_000;

function book(answers: Record<string, readonly string[]>) {
  const clock = { now: 1_000_000 };
  const asked: string[] = [];
  const addresses = new HostAddresses({
    now: () => clock.now,
    resolve: (host) => {
      asked.push(host);
      const found = answers[host];
      return found === undefined ? Promise.reject(new Error('ENOTFOUND')) : Promise.resolve(found);
    },
  });
  const of = async (host: string): Promise<readonly string[] | undefined> =>
    (await addresses.of([host], PATIENCE_MS)).get(host);
  return { clock, asked, addresses, of, answers };
}

describe('addresses of hosts', () => {
  test('are looked up once a minute, and the last ones are given on meanwhile', async () => {
    const { clock, asked, of, answers } = book({ 'a.example': ['192.0.2.1'] });
    assert.deepEqual(await of('a.example'), ['192.0.2.1']);
    clock.now += 59_999;
    assert.deepEqual(await of('a.example'), ['192.0.2.1']);
    assert.equal(asked.length, 1);
    answers['a.example'] = ['192.0.2.2'];
    clock.now += 1;
    assert.deepEqual(await of('a.example'), ['192.0.2.1']);
    await setImmediate();
    assert.deepEqual(await of('a.example'), ['192.0.2.2']);
    assert.equal(asked.length, 2);
    // A name server that is away takes nothing from anybody.
    answers['a.example'] = undefined as never;
    clock.now += 60_000;
    await of('a.example');
    await setImmediate();
    assert.deepEqual(await of('a.example'), ['192.0.2.2']);
    assert.equal(asked.length, 3);
  });

  test('stand for themselves, and a name that is none for none, which is not asked for again at once', async () => {
    const { asked, of } = book({});
    assert.deepEqual(await of('192.0.2.9'), ['192.0.2.9']);
    assert.deepEqual(await of('2001:db8::9'), ['2001:db8::9']);
    assert.deepEqual(await of('none.example'), []);
    assert.deepEqual(await of('none.example'), []);
    assert.deepEqual(asked, ['none.example']);
  });

  test('are eight at most, each once, and nothing but addresses', async () => {
    const many = Array.from({ length: 20 }, (_, i) => `192.0.2.${String(i)}`);
    const { of } = book({ 'a.example': ['nonsense', '192.0.2.0', ...many] });
    assert.deepEqual(await of('a.example'), many.slice(0, 8));
  });

  test('keep nobody waiting longer than asked, and two lookups at a time', async () => {
    const open: ((found: string[]) => void)[] = [];
    const addresses = new HostAddresses({
      now: () => 1_000_000,
      resolve: () => new Promise((resolve) => open.push(resolve)),
    });
    const hosts = ['a.example', 'b.example', 'c.example', '192.0.2.9'];
    const first = await addresses.of(hosts, 1);
    assert.deepEqual([...first.values()], [[], [], [], ['192.0.2.9']]);
    // Who asks meanwhile doesn't begin lookups of their own.
    await addresses.of(hosts, 1);
    assert.equal(open.length, 2);
    open[0]?.(['192.0.2.1']);
    await setImmediate();
    assert.equal(open.length, 3);
    open[1]?.(['192.0.2.2']);
    open[2]?.(['192.0.2.3']);
    await setImmediate();
    assert.deepEqual([...(await addresses.of(hosts, 1)).values()].flat(), [
      '192.0.2.1',
      '192.0.2.2',
      '192.0.2.3',
      '192.0.2.9',
    ]);
  });

  test('of a great many hosts are not all kept', async () => {
    const { of, asked } = book({});
    for (let i = 0; i < 1500; i++) await of(`h${String(i)}.example`);
    await of('h0.example');
    assert.equal(asked.filter((host) => host === 'h0.example').length, 2);
    await of('h1499.example');
    assert.equal(asked.filter((host) => host === 'h1499.example').length, 1);
  });
});
