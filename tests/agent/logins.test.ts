/** Logins of devices, from a tunnel over the link to the control plane and back. */
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';
import type { LoginRequest, Logins, ObservedDevice, Tunnel } from '@sallyport/agent';
import { Secret } from '@sallyport/core';
import type { AuthenticationVerdict } from '@sallyport/link';
import type { DevicePlan, GatewayPlan } from '@sallyport/policy';
import { eventually as until } from '../control/hub-world.ts';
import {
  device,
  GATEWAY,
  startGateway,
  temporaryDirectory,
  VirtualControl,
  type RunningGateway,
} from './agent-world.ts';

class OpenVpn implements Tunnel {
  readonly protocol = 'openvpn';
  readonly admitted = new Map<string, DevicePlan>();
  readonly changes: string[] = [];
  readonly gateways: GatewayPlan[] = [];
  readonly drops = {};
  logins!: Logins;

  setLogins(logins: Logins): void {
    this.logins = logins;
  }

  setGateway(plan: GatewayPlan): void {
    this.gateways.push(plan);
    this.changes.push('gateway');
  }

  apply({ put, remove }: { readonly put: readonly DevicePlan[]; readonly remove: readonly DevicePlan[] }): void {
    for (const { id } of remove) this.admitted.delete(id);
    for (const plan of put) this.admitted.set(plan.id, plan);
    this.changes.push(...remove.map(({ id }) => `refuse ${id}`), ...put.map(({ id }) => `admit ${id}`));
  }

  observe(): Iterable<ObservedDevice> {
    return [];
  }
}

const openvpn = { certificates: ['ab'.repeat(32)], login: 'password', userName: 'alice', loginEpoch: 'e' } as const;
const serves = { authority: 'a', certificate: 'c', clientKey: Buffer.alloc(128).toString('base64'), tokenKey: 'k'.repeat(60), dataCiphers: [], push: [] }; // prettier-ignore

let control: VirtualControl;
let directory: ReturnType<typeof temporaryDirectory>;
let tunnel: OpenVpn;
let gateway: RunningGateway;

beforeEach(async () => {
  control = new VirtualControl();
  control.protocolVersion = 3;
  await control.listen();
  directory = temporaryDirectory();
  tunnel = new OpenVpn();
  gateway = await startGateway(control, directory.path, { tunnels: [tunnel] });
  await until('the link', () => gateway.links.at(-1) === true);
});
afterEach(async () => {
  await gateway.stop();
  await control.close();
  directory.remove();
});

const password = (more: object = {}): LoginRequest => ({
  deviceId: 'd1',
  address: '192.0.2.7',
  client: 'OpenVPN 2.6',
  proof: { kind: 'password', userName: 'alice', password: new Secret('hunter2'), ...more },
});

function ask(request: LoginRequest): { readonly verdicts: AuthenticationVerdict[]; readonly cancel: () => void } {
  const verdicts: AuthenticationVerdict[] = [];
  const cancel = tunnel.logins.ask(request, (verdict) => verdicts.push(verdict));
  assert.deepEqual(verdicts, [], 'it is not answered from within');
  return { verdicts, cancel };
}

const asked = async (count: number) => {
  await until('a question', () => control.of('authenticate').length === count);
  return control.of('authenticate').at(-1)!;
};

test('each tunnel gets the devices of its protocol, after what the gateway is to be', async () => {
  const plan = { ...device(2), publicKey: undefined, openvpn };
  control.snapshot(1, { gateway: { ...GATEWAY, openvpn: serves }, putDevices: [device(1), plan] });
  await until('acknowledged', () => control.acknowledged(1));
  assert.deepEqual([...gateway.tunnel.admitted], ['d1']);
  assert.deepEqual(tunnel.changes, ['gateway', 'admit d2']);
  assert.deepEqual(tunnel.gateways[0]?.openvpn, serves);
  // Another certificate: what runs by the one before is cut off.
  control.delta(2, 1, { putDevices: [{ ...plan, openvpn: { ...openvpn, certificates: ['cd'.repeat(32)] } }] });
  await until('acknowledged', () => control.acknowledged(2));
  assert.deepEqual(tunnel.changes.slice(2), ['refuse d2', 'admit d2']);
  // So is what runs by a login that was ended.
  control.delta(3, 2, { putDevices: [{ ...plan, openvpn: { ...openvpn, loginEpoch: 'f' } }] });
  await until('acknowledged', () => control.acknowledged(3));
  assert.deepEqual(tunnel.changes.slice(4), ['refuse d2', 'admit d2']);
  assert.equal(tunnel.admitted.get('d2')?.openvpn?.loginEpoch, 'f');
  control.delta(4, 3, { removeDevices: ['d2'] });
  await until('acknowledged', () => control.acknowledged(4));
  assert.deepEqual(tunnel.changes.slice(6), ['refuse d2']);
});

test('a login is asked about, and its verdict comes back', async () => {
  const { verdicts } = ask(password({ code: new Secret('123456') }));
  const question = await asked(1);
  assert.deepEqual(question, {
    kind: 'authenticate',
    number: 1,
    deviceId: 'd1',
    address: '192.0.2.7',
    client: 'OpenVPN 2.6',
    proof: { kind: 'password', userName: 'alice', password: 'hunter2', code: '123456' },
  });
  const refusal = { kind: 'refuse', reason: 'no', challenge: { state: 's', text: 't', echo: true } } as const;
  control.link.send({ kind: 'authenticated', number: 1, verdict: refusal });
  await until('the verdict', () => verdicts.length === 1);
  assert.deepEqual(verdicts, [refusal]);
  // No other counts.
  control.link.send({ kind: 'authenticated', number: 1, verdict: { kind: 'admit' } });
  control.link.send({ kind: 'authenticated', number: 77, verdict: { kind: 'admit' } });
  const second = ask(password());
  await asked(2);
  control.link.send({ kind: 'authenticated', number: 2, verdict: { kind: 'admit', token: 'T' } });
  await until('the verdict', () => second.verdicts.length === 1);
  assert.deepEqual(second.verdicts, [{ kind: 'admit', token: 'T' }]);
  assert.equal(verdicts.length, 1);
});

test('one in a browser has two verdicts, or none in time', async () => {
  const web: LoginRequest = { ...password(), proof: { kind: 'web' }, certificate: 'ab'.repeat(32) };
  const { verdicts } = ask(web);
  assert.equal((await asked(1)).certificate, 'ab'.repeat(32));
  const verdict = { kind: 'web', url: 'https://vpn.example.org/tunnel-login?code=X', timeoutSeconds: 300 } as const;
  control.link.send({ kind: 'authenticated', number: 1, verdict });
  control.link.send({ kind: 'authenticated', number: 1, verdict });
  await until('the first', () => verdicts.length > 0);
  await gateway.clock.pass(299_000);
  control.link.send({ kind: 'authenticated', number: 1, verdict: { kind: 'admit' } });
  await until('the second', () => verdicts.length > 1);
  assert.deepEqual(verdicts, [verdict, { kind: 'admit' }]);

  const late = ask(web);
  await asked(2);
  control.link.send({ kind: 'authenticated', number: 2, verdict });
  await until('the first', () => late.verdicts.length > 0);
  await gateway.clock.pass(306_000);
  assert.deepEqual(late.verdicts[1], { kind: 'refuse', reason: 'Nobody logged in in time.' });
  await until('the end', () => control.of('cancelAuthentication').some(({ number }) => number === 2));
});

test('one that nobody waits for any more is taken back', async () => {
  const { verdicts, cancel } = ask(password());
  await asked(1);
  cancel();
  cancel();
  await until('the end', () => control.of('cancelAuthentication').length === 1);
  control.link.send({ kind: 'authenticated', number: 1, verdict: { kind: 'admit' } });
  const second = ask(password());
  await asked(2);
  control.link.send({ kind: 'authenticated', number: 2, verdict: { kind: 'admit' } });
  await until('the verdict', () => second.verdicts.length === 1);
  assert.deepEqual(verdicts, []);
});

test('without an answer, or a link, the device is to come again', async () => {
  const silent = ask(password());
  await asked(1);
  await gateway.clock.pass(30_000);
  assert.ok(silent.verdicts[0]?.kind === 'refuse' && silent.verdicts[0].retryAfterSeconds === 10);
  const cut = ask(password());
  await asked(2);
  for (const link of control.links) link.close();
  await until('the end', () => cut.verdicts.length === 1);
  assert.ok(cut.verdicts[0]?.kind === 'refuse' && cut.verdicts[0].retryAfterSeconds === 10);
  const without = ask(password());
  await gateway.clock.pass(0);
  assert.ok(without.verdicts[0]?.kind === 'refuse' && without.verdicts[0].retryAfterSeconds === 10);
});

test('what the link would not take is refused here', async () => {
  for (const request of [
    password({ password: new Secret('x'.repeat(600)) }),
    password({ challengeState: 'x'.repeat(1001) }),
    { ...password(), deviceId: '' },
    { ...password(), deviceId: 'x'.repeat(65) },
  ]) {
    const { verdicts } = ask(request);
    await gateway.clock.pass(0);
    assert.equal(verdicts[0]?.kind, 'refuse');
  }
  ask({ ...password(), client: 'x'.repeat(200), address: 'y'.repeat(60) });
  const { client, address } = await asked(1);
  assert.deepEqual([client.length, address.length], [100, 45]);
  assert.equal(gateway.links.at(-1), true);
});

test('too many at a time are told to come again', async () => {
  for (let i = 0; i < 1024; i++) ask(password());
  const more = ask(password());
  await gateway.clock.pass(0);
  assert.ok(more.verdicts[0]?.kind === 'refuse' && more.verdicts[0].retryAfterSeconds === 10);
});

test('an older control plane is not asked', async () => {
  control.protocolVersion = 2;
  for (const link of control.links) link.close();
  await until('the link is gone', () => gateway.links.at(-1) === false);
  await until('the link', async () => {
    await gateway.clock.pass(500);
    return gateway.links.at(-1) === true;
  });
  const { verdicts } = ask(password());
  await gateway.clock.pass(0);
  assert.equal(verdicts[0]?.kind, 'refuse');
  assert.deepEqual(control.of('authenticate'), []);
});
