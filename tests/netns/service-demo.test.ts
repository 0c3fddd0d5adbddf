import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import type { ServiceFacts } from '../../demo/scenarios/service.ts';

const main = resolve(import.meta.dirname, '../../demo/main.ts');
const execute = promisify(execFile);

for (const device of [undefined, 'wireguard-go']) {
  test(`the service demonstration tells what happened, with ${device ?? 'our own device'}`, async () => {
    const argv = [main, 'service', '--json', ...(device === undefined ? [] : ['--device', device])];
    const { stdout } = await execute(process.execPath, argv);
    const facts = JSON.parse(stdout) as ServiceFacts & { readonly scenario: string; readonly faults: string[] };
    assert.deepEqual(facts.faults, []);
    assert.equal(facts.scenario, 'service');
    assert.ok(facts.readyMilliseconds > 0);
    // Each address that was seen is the one that it must be, and no two gateways or groups share one.
    const seen = [
      ['destinationSawIpv4', 'gatewayIpv4'],
      ['destinationSawIpv6', 'gatewayIpv6'],
      ['groupEgressSawIpv4', 'groupEgressIpv4'],
      ['groupEgressSawIpv6', 'groupEgressIpv6'],
      ['secondRegionSawIpv4', 'secondGatewayIpv4'],
      ['secondRegionSawIpv6', 'secondGatewayIpv6'],
    ] as const;
    for (const [fact, expected] of seen) {
      assert.match(facts[expected], expected.endsWith('4') ? /^\d+(\.\d+){3}$/ : /^[0-9a-f:]+$/);
      assert.equal(facts[fact], facts[expected], fact);
    }
    assert.equal(new Set(seen.map(([fact]) => facts[fact])).size, seen.length);
    assert.notEqual(facts.destinationSawIpv4, facts.clientIpv4);
    for (const fact of [
      'internalReachedByGroup',
      'internalRefusedToOthers',
      'internalRefusedFromOutside',
      'privateReachedByGroup',
      'privateRefusedToOthers',
      'policyChangeRefused',
    ] as const) {
      assert.equal(facts[fact], true, fact);
    }
    assert.equal(facts.reachedAfterCutOff, false);
  });
}
