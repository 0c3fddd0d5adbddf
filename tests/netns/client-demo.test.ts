import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { ClientFacts } from '../../demo/scenarios/client.ts';

const main = resolve(import.meta.dirname, '../../demo/main.ts');
const execute = promisify(execFile);

test('the client demonstration tells what happened', async () => {
  const { stdout } = await execute(process.execPath, [main, 'client', '--json']);
  const facts = JSON.parse(stdout) as ClientFacts & { readonly scenario: string; readonly faults: string[] };
  assert.deepEqual(facts.faults, []);
  assert.equal(facts.scenario, 'client');
  assert.ok(facts.connectMilliseconds > 0);
  assert.deepEqual([facts.leakedPackets, facts.dnsLeaked], [0, 0]);
  assert.ok(facts.leakedPacketsProtectionOff > 0 && facts.dnsLeakedProtectionOff > 0);
  assert.ok(facts.failoverMilliseconds > 0);
  assert.equal(facts.withoutTunnelSawIpv4, facts.clientIpv4);
  for (const way of [facts, facts.twoHops]) {
    assert.match(way.exitIpv4, /^\d+(\.\d+){3}$/);
    assert.equal(way.destinationSawIpv4, way.exitIpv4);
    assert.equal(way.destinationSawIpv6, way.exitIpv6);
    assert.equal(way.nameServerSawIpv4, way.exitIpv4);
  }
  assert.equal(new Set([facts.clientIpv4, facts.exitIpv4, facts.twoHops.exitIpv4]).size, 3);
});
