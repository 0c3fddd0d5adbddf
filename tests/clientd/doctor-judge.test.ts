/** The doctor's judgement: each fault is named, with what to do; what is well asks for nothing. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { clientSettings } from '@sallyport/client';
import { judge } from '@sallyport/clientd';
import { settingKey, withSetting } from '../../apps/cli/src/client/setting-keys.ts';

const control = { host: 'vpn.example', port: 443, tcp: { milliseconds: 20 }, tls: { trusted: true, pinned: false, fault: '', daysLeft: 60 } }; // prettier-ignore
const kernel = { tun: true, nft: undefined, rules: true, cgroup: true };
const none = { earlierRules: [], otherTunnels: [], droppingTables: [] };

const well: judge.Check[] = [
  judge.judgeDaemon({ version: '1', group: true, state: 'connected' }),
  judge.judgeAccount({ url: 'https://vpn.example', standing: 'active', message: '' }),
  judge.judgeNetwork({ ipv4: true, ipv6: false, ipv6Disabled: false }),
  judge.judgePortal(false),
  judge.judgeNames({ host: 'vpn.example', found: 1, blocked: false, isAddress: false }),
  judge.judgeControl(control),
  judge.judgeCertificate(control),
  judge.judgeClock(-900),
  judge.judgeKernel(kernel),
  judge.judgeConflicts(none),
  ...judge.judgeWays({ gateway: 'oslo-1', wireguard: 20, amneziawg: 20, tls: 30, whyNot: '' }),
  judge.judgeTunnel({ connected: true, message: '', handshakeAgoMs: 100_000 }),
  judge.judgeDns({ by: 'file', answered: true, servers: ['10.77.0.1'] }),
  judge.judgeMtu({ mtu: 1420, passes: true }),
];

test('what is well is ok, and asks for nothing', () => {
  for (const check of well) assert.deepEqual([check.state, check.remedy], ['ok', ''], check.check);
  assert.equal(new Set(well.map(({ check }) => check)).size, well.length, 'each has a name of its own');
});

test('each fault is told, with a remedy', () => {
  const faults: [judge.Check, judge.Check['state'], RegExp][] = [
    [judge.judgeDaemon({ version: '1', group: false, state: 'x' }), 'warning', /group sallyport is missing/],
    [judge.judgeAccount(undefined), 'fault', /nobody is logged in/],
    [judge.judgeAccount({ url: 'u', standing: undefined, message: '' }), 'warning', /no configuration/],
    [judge.judgeAccount({ url: 'u', standing: 'userDisabled', message: 'disabled' }), 'fault', /disabled/],
    [judge.judgeAccount({ url: 'u', standing: 'active', message: '', refusal: 'The login has ended' }), 'fault', /login has ended/], // prettier-ignore
    [judge.judgeNetwork({ ipv4: false, ipv6: false, ipv6Disabled: false }), 'fault', /no default route/],
    [judge.judgeNetwork({ ipv4: true, ipv6: false, ipv6Disabled: true }), 'warning', /IPv6 is switched off/],
    [judge.judgePortal(true), 'fault', /login on a page/],
    [judge.judgeNames({ host: 'vpn.example', found: 0, blocked: false, isAddress: false }), 'fault', /not found/],
    [judge.judgeControl({ ...control, tcp: { fault: 'refused' } }), 'fault', /TCP port 443: refused/],
    [judge.judgeCertificate({ ...control, tls: { ...control.tls, trusted: false, pinned: true } }), 'fault', /not the pinned one/], // prettier-ignore
    [judge.judgeCertificate({ ...control, tls: { ...control.tls, trusted: false, fault: 'EXPIRED' } }), 'fault', /EXPIRED/], // prettier-ignore
    [judge.judgeCertificate({ ...control, tls: { ...control.tls, daysLeft: 1 } }), 'warning', /ends in 1 days/],
    [judge.judgeClock(3_600_000), 'fault', /3600 seconds behind/],
    [judge.judgeClock(-90_000), 'warning', /90 seconds ahead/],
    [judge.judgeKernel({ ...kernel, tun: false }), 'fault', /tun is missing/],
    [judge.judgeKernel({ ...kernel, nft: 'not installed' }), 'fault', /not installed/],
    [judge.judgeKernel({ ...kernel, rules: false }), 'fault', /routing rules/],
    [judge.judgeKernel({ ...kernel, cgroup: false }), 'warning', /cgroup v2/],
    [judge.judgeConflicts({ ...none, otherTunnels: ['wg0'] }), 'warning', /wg0/],
    [judge.judgeConflicts({ ...none, earlierRules: [100] }), 'warning', /priority 100/],
    [judge.judgeConflicts({ ...none, droppingTables: ['inet firewalld'] }), 'warning', /firewalld/],
    [judge.judgeTunnel({ connected: false, message: 'No gateway answers', handshakeAgoMs: undefined }), 'fault', /No gateway answers/], // prettier-ignore
    [judge.judgeTunnel({ connected: true, message: '', handshakeAgoMs: 200_000 }), 'fault', /200 seconds ago/],
    [judge.judgeDns({ by: 'file', answered: false, servers: ['10.77.0.1'] }), 'fault', /no name server answers/],
    [judge.judgeMtu({ mtu: 1420, passes: false }), 'warning', /1420 bytes do not pass/],
  ];
  for (const [check, state, detail] of faults) {
    assert.equal(check.state, state, check.detail);
    assert.match(check.detail, detail);
    assert.notEqual(check.remedy, '', check.detail);
    const [, key = '', value = ''] = /sallyport set (\S+) ([a-z0-9]+)$/.exec(check.remedy) ?? [];
    if (key !== '') withSetting(clientSettings.parse({}), settingKey(key), value);
  }
});

test('where one way works the others are no fault', () => {
  const states = (facts: Omit<judge.WayFacts, 'gateway' | 'whyNot'>): string[] =>
    judge.judgeWays({ gateway: 'oslo-1', whyNot: 'not offered', ...facts }).map(({ state }) => state);
  assert.deepEqual(states({ wireguard: null, amneziawg: null, tls: 40 }), ['warning', 'warning', 'ok']);
  assert.deepEqual(states({ wireguard: null, tls: null }), ['fault', 'skipped', 'fault']);
  assert.deepEqual(states({ wireguard: 10 }), ['ok', 'skipped', 'skipped']);
});

test('what can not be known is skipped', () => {
  for (const check of [
    judge.judgePortal(undefined),
    judge.judgeNames({ host: 'vpn.example', found: 0, blocked: true, isAddress: false }),
    judge.judgeCertificate({ ...control, tls: undefined }),
    judge.judgeClock(undefined),
    judge.judgeTunnel({ connected: false, message: '', handshakeAgoMs: undefined }),
    judge.judgeDns({ by: 'none', answered: undefined, servers: [] }),
    judge.judgeMtu({ mtu: undefined, passes: undefined }),
  ])
    assert.equal(check.state, 'skipped', check.detail);
});
