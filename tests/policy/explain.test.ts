import assert from 'node:assert/strict';
import { test } from 'node:test';
import { accessDifference, explain, failingTests, planGateway, whoCanReach } from '@sallyport/policy';
import type { AccessModel, AccessQuestion, DesiredState, Grant } from '@sallyport/policy';
import { SeededRandom } from '@sallyport/testkit';
import {
  changed,
  device,
  emptyModel,
  gateway,
  group,
  policyTest,
  randomOrganisation,
  resource,
  rule,
  START,
  user,
} from './organisation.ts';

function office(): AccessModel {
  let model = emptyModel();
  for (const id of ['berlin', 'oslo']) model = changed(model, 'gateways', id, gateway({ id }));
  for (const id of ['staff', 'dba']) model = changed(model, 'groups', id, group({ id }));
  model = changed(model, 'users', 'alice', user({ id: 'alice', groups: new Set(['staff', 'dba']) }));
  model = changed(model, 'users', 'bob', user({ id: 'bob', groups: new Set(['staff']) }));
  model = changed(model, 'devices', 'd1', device(1, 'alice'));
  model = changed(model, 'devices', 'd2', device(2, 'bob'));
  model = changed(
    model,
    'resources',
    'db',
    resource({
      id: 'db',
      prefixes: ['10.5.0.0/24', 'fd05::/64'],
      services: [{ protocol: 'tcp', ports: [{ from: 5432, to: 5433 }] }],
    }),
  );
  model = changed(model, 'resources', 'net', resource({ id: 'net', kind: 'internet' }));
  model = changed(
    model,
    'resources',
    'wiki',
    resource({
      id: 'wiki',
      kind: 'name',
      domain: 'wiki.example.org',
      services: [
        { protocol: 'icmp', ports: [] },
        { protocol: 'tcp', ports: [] },
      ],
    }),
  );
  model = changed(
    model,
    'rules',
    'dba-db',
    rule({ id: 'dba-db', groups: ['dba'], resources: ['db'], gateways: ['berlin'] }),
  );
  model = changed(model, 'rules', 'out', rule({ id: 'out', groups: ['everyone'], resources: ['net', 'wiki'] }));
  return model;
}

function ask(model: AccessModel, from: Partial<AccessQuestion>) {
  return explain(
    model,
    { userId: 'alice', destination: '10.5.0.9', protocol: 'tcp', port: 5432, gatewayId: null, ...from },
    START,
  );
}

test('the rule that decides is named', () => {
  const model = office();
  const yes = ask(model, {});
  assert.equal(yes.verdict, 'allow');
  assert.deepEqual([yes.ruleId, yes.resourceId, yes.groupId, yes.gateways], ['dba-db', 'db', 'dba', ['berlin']]);
  assert.match(
    yes.text,
    /alice reaches 10\.5\.0\.9 \(tcp, port 5432\): the rule dba-db gives the resource db to the group dba, through berlin\./,
  );
  assert.equal(ask(model, { destination: 'fd05::77' }).verdict, 'allow');

  for (const [question, reason] of [
    [{ userId: 'bob' }, 'noRule'],
    [{ port: 5434 }, 'noRule'],
    [{ port: null }, 'noRule'],
    [{ protocol: 'udp' }, 'noRule'],
    [{ destination: '10.5.1.9' }, 'noRule'],
    [{ gatewayId: 'oslo' }, 'otherGateway'],
    [{ gatewayId: 'rome' }, 'unknownGateway'],
    [{ userId: 'eve' }, 'unknownUser'],
    [{ destination: 'unknown.example.org' }, 'unknownDestination'],
  ] as const) {
    const answer = ask(model, question);
    assert.deepEqual([answer.verdict, answer.reason], ['deny', reason], JSON.stringify(question));
  }
  assert.match(ask(model, { gatewayId: 'oslo' }).text, /only through berlin/);
  assert.equal(ask(model, { destination: 'Wiki.Example.org', port: 80 }).resourceId, 'wiki');
  assert.equal(ask(model, { destination: 'wiki.example.org', protocol: 'icmp', port: null }).resourceId, 'wiki');
});

test('the internet holds no private, special or own address', () => {
  const model = office();
  for (const destination of ['8.8.8.8', '2606:4700::1111', '1.1.1.1']) {
    assert.deepEqual(
      [ask(model, { destination }).resourceId, ask(model, { destination, port: null }).verdict],
      ['net', 'allow'],
      destination,
    );
  }
  for (const destination of [
    '10.0.0.1',
    '192.168.1.1',
    '169.254.169.254',
    '100.64.0.5',
    'fd00:5a11::5',
    'fe80::1',
    '::1',
    '::ffff:8.8.8.8',
    '224.0.0.1',
  ]) {
    assert.equal(ask(model, { destination }).verdict, 'deny', destination);
  }
  // A pool among public addresses is not the internet either.
  assert.equal(ask({ ...model, pool6: '2606:4700::/64' }, { destination: '2606:4700::1111' }).verdict, 'deny');
});

test('who may not connect now reaches nothing, and is told why', () => {
  let model = office();
  model = changed(model, 'users', 'alice', {
    ...(model.users.get('alice') as ReturnType<typeof user>),
    disabled: true,
  });
  assert.deepEqual(
    [ask(model, {}).reason, ask(model, {}).standing, ask(model, {}).ruleId],
    ['standing', 'userDisabled', 'dba-db'],
  );
  let waiting = changed(office(), 'devices', 'd1', device(1, 'alice', { approved: false }));
  assert.equal(ask(waiting, {}).standing, 'awaitingApproval');
  // One device that may connect is enough.
  waiting = changed(waiting, 'devices', 'd3', device(3, 'alice'));
  assert.equal(ask(waiting, {}).verdict, 'allow');
  const without = changed(office(), 'devices', 'd1', undefined);
  assert.match(ask(without, {}).text, /No device is there yet/);
});

test('who can reach a target, by name', () => {
  const model = office();
  const target = { destination: '10.5.0.1', protocol: 'tcp' as const, port: 5432, gatewayId: null };
  assert.deepEqual(
    whoCanReach(model, target, START).map(({ userId, answer }) => [userId, answer.ruleId]),
    [['alice', 'dba-db']],
  );
  assert.deepEqual(
    whoCanReach(model, { ...target, destination: '8.8.8.8' }, START).map(({ userId }) => userId),
    ['alice', 'bob'],
  );
});

test('policy tests are about rules, not about who may connect', () => {
  let model = office();
  model = changed(model, 'tests', 't1', policyTest({ id: 't1', userId: 'alice', destination: '10.5.0.9', port: 5432 }));
  model = changed(
    model,
    'tests',
    't2',
    policyTest({ id: 't2', userId: 'bob', destination: '10.5.0.9', port: 5432, expect: 'deny' }),
  );
  model = changed(
    model,
    'tests',
    't3',
    policyTest({ id: 't3', userId: 'alice', destination: '10.5.0.9', port: 5432, gatewayId: 'oslo', expect: 'deny' }),
  );
  assert.deepEqual(failingTests(model), []);
  const disabled = changed(model, 'users', 'alice', {
    ...(model.users.get('alice') as ReturnType<typeof user>),
    disabled: true,
  });
  assert.deepEqual(failingTests(disabled), []);
  const opened = changed(model, 'rules', 'more', rule({ id: 'more', groups: ['staff'], resources: ['db'] }));
  assert.deepEqual(
    failingTests(opened).map(({ test: { id } }) => id),
    ['t2', 't3'],
  );
  const closed = changed(model, 'rules', 'dba-db', undefined);
  assert.deepEqual(
    failingTests(closed).map(({ test: { id } }) => id),
    ['t1'],
  );
  assert.deepEqual(
    failingTests(changed(model, 'users', 'alice', undefined)).map(({ test: { id } }) => id),
    ['t1'],
  );
});

test('a policy test about a name that no resource has any more fails, though it expects no access', () => {
  let model = changed(office(), 'rules', 'out', rule({ id: 'out', groups: ['everyone'], resources: ['net'] }));
  const destination = 'wiki.example.org';
  model = changed(
    model,
    'tests',
    'no',
    policyTest({ id: 'no', userId: 'bob', destination, port: 443, expect: 'deny' }),
  );
  assert.deepEqual(failingTests(model), []);
  assert.deepEqual(
    failingTests(changed(model, 'resources', 'wiki', undefined)).map(({ test: { id }, answer }) => [id, answer.reason]),
    [['no', 'unknownDestination']],
  );
});

test('a change is told as who gains and who loses what', () => {
  const before = office();
  const after = changed(
    changed(
      before,
      'rules',
      'dba-db',
      rule({ id: 'dba-db', groups: ['staff'], resources: ['db'], gateways: ['oslo'] }),
    ),
    'resources',
    'net',
    resource({ id: 'net', kind: 'internet', services: [{ protocol: 'tcp', ports: [] }] }),
  );
  assert.deepEqual(
    new Set(
      accessDifference(before, after).items.map(
        (item) => `${item.userId} ${item.change} ${item.resourceId} ${item.gateways.join()}`,
      ),
    ),
    new Set([
      'alice gains db oslo',
      'alice loses db berlin',
      'bob gains db oslo',
      'alice changes net ',
      'bob changes net ',
    ]),
  );
  assert.deepEqual(accessDifference(before, before), { items: [], truncated: false });
  assert.deepEqual(accessDifference(before, after, 2).truncated, true);
  const everywhere = changed(before, 'rules', 'dba-db', rule({ id: 'dba-db', groups: ['dba'], resources: ['db'] }));
  assert.deepEqual(accessDifference(before, everywhere).items, [
    { userId: 'alice', resourceId: 'db', change: 'gains', gateways: ['oslo'] },
  ]);
});

test('the explanation says what the plan of the gateway does', () => {
  const targets = ['10.0.1.1', '10.1.9.9', '10.2.0.1', '8.8.8.8', 'db.example.org', '192.168.0.1'];
  let allowed = 0;
  let asked = 0;
  for (let seed = 1; seed <= 60; seed++) {
    const model = randomOrganisation(new SeededRandom(seed));
    for (const gatewayId of model.gateways.keys()) {
      const plan = planGateway(model, gatewayId, START);
      for (const user of model.users.values()) {
        const devices = [...model.devices.values()].filter(({ userId }) => userId === user.id);
        if (devices.length === 0) continue;
        for (const destination of targets) {
          for (const [protocol, port] of [
            ['tcp', 444],
            ['udp', 9],
            ['icmp', null],
          ] as const) {
            const expected = devices.some(({ id }) => planAllows(plan, id, destination, protocol, port));
            const answer = explain(model, { userId: user.id, destination, protocol, port, gatewayId }, START);
            assert.equal(answer.verdict === 'allow', expected, `seed ${String(seed)}: ${answer.text}`);
            asked++;
            if (expected) allowed++;
          }
        }
      }
    }
  }
  assert.ok(allowed > 500 && asked - allowed > 500, `${String(allowed)} of ${String(asked)}`);
});

/** The grants of a device's groups, read as plainly as can be. */
function planAllows(
  plan: DesiredState,
  deviceId: string,
  destination: string,
  protocol: string,
  port: number | null,
): boolean {
  const holds = ({ destination: to, protocol: through, ports }: Grant): boolean => {
    const there =
      to.kind === 'internet'
        ? destination === '8.8.8.8'
        : to.kind === 'name'
          ? destination === to.name
          : to.prefix.endsWith('.0.0/16') && destination.startsWith(to.prefix.slice(0, -'0.0/16'.length));
    return (
      there &&
      (through === 'any' || through === protocol) &&
      (ports.length === 0 || ports.some(({ from, to: last }) => port !== null && from <= port && port <= last))
    );
  };
  return plan.devices.get(deviceId)?.groups.some((id) => plan.groups.get(id)?.grants.some(holds)) ?? false;
}
