import assert from 'node:assert/strict';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { amneziawgOffer } from '@sallyport/link';
import { checkVariant } from '@sallyport/wireguard';
import { loadAmneziawgParameters, randomParameters } from '../../apps/server/src/gateway/amneziawg-parameters.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-amneziawg-'));
after(() => {
  rmSync(folder, { recursive: true, force: true });
});

test('parameters are drawn by lot, usable, and within what clients and the control plane take', () => {
  const headers = new Set<number>();
  for (let i = 0; i < 2000; i++) {
    const made = randomParameters();
    assert.equal(checkVariant(made), undefined);
    amneziawgOffer.parse({ port: 51_821, ...made });
    const { jc, jmin, jmax, s1, s2, h1, h2, h3, h4 } = made;
    assert.ok(jc >= 4 && jc <= 8 && jmin >= 40 && jmin < jmax && jmax <= 700, JSON.stringify(made));
    for (const size of [s1, s2]) assert.ok(size >= 15 && size <= 150);
    // Each message has a length of its own: 148, 92 and 64 bytes are WireGuard's.
    assert.equal(new Set([148 + s1, 92 + s2, 64]).size, 3);
    for (const header of [h1, h2, h3, h4]) {
      assert.ok(header >= 5 && header < 2 ** 31);
      headers.add(header);
    }
  }
  assert.ok(headers.size > 7990, 'no two gateways have the same');
});

test('they are kept, for their owner alone', () => {
  const path = join(folder, 'amneziawg.json');
  const made = loadAmneziawgParameters(path);
  assert.deepEqual(loadAmneziawgParameters(path), made);
  assert.equal(statSync(path).mode & 0o777, 0o600);
  assert.equal((JSON.parse(readFileSync(path, 'utf8')) as typeof made).h1, made.h1);
});

test('a file that is damaged is said to be, and left alone', () => {
  const path = join(folder, 'damaged.json');
  for (const text of [
    '',
    'null',
    '[]',
    '{}',
    '{"jc":1}',
    JSON.stringify({ ...randomParameters(), h1: 'x' }),
    JSON.stringify({ ...randomParameters(), jmin: 900 }),
  ]) {
    writeFileSync(path, text);
    assert.throws(() => loadAmneziawgParameters(path), /restore it, or remove it/, text);
    assert.equal(readFileSync(path, 'utf8'), text);
  }
});
