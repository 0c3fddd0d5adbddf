import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { OpenvpnFacts } from '../../demo/scenarios/openvpn.ts';

const main = resolve(import.meta.dirname, '../../demo/main.ts');
const execute = promisify(execFile);

test('the OpenVPN demonstration tells what happened', async () => {
  const { stdout } = await execute(process.execPath, [main, 'openvpn', '--json']);
  const facts = JSON.parse(stdout) as OpenvpnFacts & { readonly scenario: string; readonly faults: string[] };
  assert.deepEqual(facts.faults, []);
  assert.equal(facts.scenario, 'openvpn');
  assert.match(facts.client, /^OpenVPN \d+\.\d+/);
  assert.deepEqual([facts.transport, facts.passwordTransport], ['UDP', 'TCP']);
  assert.deepEqual([facts.cipher, facts.passwordCipher], ['AES-256-GCM', 'AES-256-GCM']);
  assert.match(facts.gatewayIpv4, /^\d+(\.\d+){3}$/);
  for (const [seen, gateway] of [
    [facts.destinationSawIpv4, facts.gatewayIpv4],
    [facts.destinationSawIpv6, facts.gatewayIpv6],
    [facts.passwordDestinationSawIpv4, facts.gatewayIpv4],
    [facts.passwordDestinationSawIpv6, facts.gatewayIpv6],
  ])
    assert.equal(seen, gateway);
  assert.equal(facts.wrongPasswordRefused, true);
});
