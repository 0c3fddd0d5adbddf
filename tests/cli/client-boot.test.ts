/** What blocks at boot before the daemon runs. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { rulesetOf } from '@sallyport/client';
import { bootPolicy } from '../../apps/cli/src/client/boot-lockdown.ts';

const files = (contents: Readonly<Record<string, string>>) => bootPolicy((name) => contents[name]);
const wanted = { 'account.json': '{}', 'intent.json': '{"target":"fastest","via":null}' };
const demanding = (killSwitch: boolean): string => JSON.stringify({ gateways: [], requirements: { killSwitch } });

test('blocks with lockdown, and where a tunnel with kill switch was wanted', () => {
  for (const contents of [
    { 'settings.json': '{"lockdown":true}' },
    { 'settings.json': '{"lockdown":true,"killSwitch":false}', 'intent.json': 'null' },
    wanted,
    { ...wanted, 'settings.json': '{"killSwitch":true}' },
    // What is damaged may have said lockdown.
    { 'settings.json': '{"lockdown":tr' },
    { 'settings.json': '' },
    { 'settings.json': '{"lockdown":"yes"}' },
    // What is damaged may have been a wish.
    { 'account.json': '{}', 'intent.json': '{"tar' },
    { 'account.json': '{}', 'intent.json': '' },
    // It connects by itself.
    { 'account.json': '{}', 'settings.json': '{"autoConnect":true}' },
    // An administrator demands it, or may have.
    { ...wanted, 'settings.json': '{"killSwitch":false}', 'configuration.json': demanding(true) },
    { ...wanted, 'settings.json': '{"split":{"mode":"include"}}', 'configuration.json': demanding(true) },
    { ...wanted, 'settings.json': '{"killSwitch":false}', 'configuration.json': '{"requirem' },
  ]) {
    const policy = files(contents);
    assert.ok(policy !== 'open' && policy.blocking && policy.only === undefined, JSON.stringify(contents));
    assert.match(rulesetOf(policy), /policy drop/);
    assert.deepEqual(policy.tunnels, []);
  }
});

test('leaves a machine alone that asked for nothing', () => {
  for (const contents of [
    {},
    { 'settings.json': '{"killSwitch":true}' },
    { 'settings.json': '{}', 'account.json': '{}', 'intent.json': 'null' },
    { ...wanted, 'settings.json': '{"killSwitch":false}' },
    { ...wanted, 'settings.json': '{"killSwitch":false}', 'configuration.json': demanding(false) },
    { 'settings.json': '{"autoConnect":true}' },
    // Nobody is logged in, so nothing is wanted.
    { 'intent.json': wanted['intent.json'] },
  ]) {
    assert.equal(files(contents), 'open', JSON.stringify(contents));
  }
});

test('lets a machine have its address, unless that was forbidden too', () => {
  const allowing = rulesetOf(files({ 'settings.json': '{"lockdown":true}' }));
  const strict = rulesetOf(files({ 'settings.json': '{"lockdown":true,"allowDhcp":false}' }));
  assert.match(allowing, /67/);
  assert.doesNotMatch(strict, /dport 67\b/);
});
