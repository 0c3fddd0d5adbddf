import assert from 'node:assert/strict';
import { test } from 'node:test';
import { faultOfGroupSize, type AccessModel } from '@sallyport/policy';
import { changed, emptyModel, gateway, group, resource, rule } from './organisation.ts';

/** A thousand addresses, each apart from the others, and of each that many separate ports. */
function much(id: string, number: number, ports: number) {
  const prefixes = Array.from(
    { length: 1000 },
    (_, i) => `10.${String(4 * number + (i >> 8))}.${String(i & 255)}.0/32`,
  );
  const list = Array.from({ length: ports }, (_, i) => ({ from: 2 * i + 1, to: 2 * i + 1 }));
  return resource({ id, kind: 'network', prefixes, services: [{ protocol: 'tcp', ports: list }] });
}

function world(...ports: readonly number[]): AccessModel {
  let model = changed(emptyModel(), 'groups', 'g', group({ id: 'g', name: 'staff' }));
  ports.forEach((count, i) => (model = changed(model, 'resources', `r${String(i)}`, much(`r${String(i)}`, i, count))));
  return model;
}

function giving(model: AccessModel, id: string, resources: readonly string[], gateways: readonly string[] = []) {
  return changed(model, 'rules', id, rule({ id, groups: ['g'], resources, gateways }));
}

test('what a group reaches has a bound, of which a change is told by the name of the group', () => {
  const model = world(199, 2);
  const enough = giving(model, 'a', ['r0']);
  assert.equal(faultOfGroupSize(model, enough), undefined);
  assert.match(faultOfGroupSize(enough, giving(enough, 'b', ['r1'])) ?? '', /the group "staff".* more than 200000/);
  // What does not change is not looked at.
  const over = giving(enough, 'b', ['r1']);
  assert.equal(faultOfGroupSize(over, changed(over, 'groups', 'h', group({ id: 'h' }))), undefined);
});

test('of rules for one gateway each, those of one count together', () => {
  let model = world(150, 150);
  for (const id of ['x', 'y']) model = changed(model, 'gateways', id, gateway({ id }));
  const apart = giving(giving(model, 'a', ['r0'], ['x']), 'b', ['r1'], ['y']);
  assert.equal(faultOfGroupSize(model, apart), undefined);
  assert.match(faultOfGroupSize(apart, giving(apart, 'b', ['r1'], ['x', 'y'])) ?? '', /more than 200000/);
});

test('from what is too much already less can be made step by step', () => {
  const over = giving(giving(giving(world(150, 150, 150), 'a', ['r0']), 'b', ['r1']), 'c', ['r2']);
  assert.equal(faultOfGroupSize(over, changed(over, 'rules', 'c', undefined)), undefined);
});

test('what another rule or resource covered counts once that is gone', () => {
  let model = world(150, 150);
  model = changed(model, 'resources', 'all', resource({ id: 'all', kind: 'network', prefixes: ['10.0.0.0/8'] }));
  const covered = giving(giving(giving(model, 'a', ['r0']), 'b', ['r1']), 'c', ['all']);
  assert.equal(faultOfGroupSize(model, covered), undefined);
  for (const uncovered of [
    changed(covered, 'rules', 'c', undefined),
    changed(covered, 'rules', 'c', rule({ id: 'c', groups: ['g'], resources: ['all'], enabled: false })),
    changed(covered, 'resources', 'all', undefined),
    changed(covered, 'resources', 'all', resource({ id: 'all', kind: 'network', prefixes: ['10.64.0.0/10'] })),
  ])
    assert.match(faultOfGroupSize(covered, uncovered) ?? '', /more than 200000/);
});
