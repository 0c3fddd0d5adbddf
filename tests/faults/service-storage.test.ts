/** Storage that goes back, goes away, or is full, under a service that carries traffic. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { spawnSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { PATIENCE_MS, PostgresServer, until } from '@sallyport/netlab';
import type { Gateway } from '@sallyport/api';
import { sallyport } from '../../demo/scenarios/service/person.ts';
import { startService } from '../../demo/scenarios/service/servers.ts';
import { ADDRESSES, seenFrom } from '../../demo/scenarios/service/world.ts';
import { startFlows } from '../netns/service/flows.ts';
import { ADMINISTRATOR, INTERNET, ServiceRig } from '../netns/service/rig.ts';

/** What /readyz answers, as a status; 0 for no answer. */
async function readiness({ world, service }: ServiceRig): Promise<number> {
  const argv = ['curl', '-sk', '-o', '/dev/null', '-w', '%{http_code}', '--max-time', '5', `${service.url}/readyz`];
  return Number((await world.admin.run(argv, { allowFailure: true })).stdout);
}

const names = async ({ api }: ServiceRig): Promise<string[]> =>
  ((await api.call('listUsers', { query: { limit: 1000 } })) as { items: { name: string }[] }).items.map(
    ({ name }) => name,
  );

/** Creates users until one is refused; answers with those that were acknowledged, and how it was refused. */
async function createUntilRefused(rig: ServiceRig, prefix: string): Promise<{ made: string[]; status?: number }> {
  const made: string[] = [];
  const deadline = Date.now() + PATIENCE_MS;
  for (let i = 0; Date.now() < deadline; i++) {
    const name = `${prefix}-${String(i)}`;
    try {
      await rig.user(name);
      made.push(name);
    } catch (error) {
      const status = (error as { problem?: { status: number } }).problem?.status;
      return { made, ...(status !== undefined && { status }) };
    }
  }
  throw new Error('nothing was refused');
}

describe('storage', () => {
  test('that is restored from a backup: gateways follow, the audit chain holds', async (t) => {
    const rig = await ServiceRig.start();
    t.after(() => rig.close());
    const { gateway1, alice: machine } = rig.world;
    await rig.joinGateway();
    const gateways = async (): Promise<Gateway[]> =>
      ((await rig.api.call('listGateways')) as unknown as { items: Gateway[] }).items;
    const local = (await gateways()).find(({ name }) => name !== 'oslo')?.name;
    await rig.user('alice');
    const alice = await rig.connect('alice', 'alice', { gateway: local });
    const file = join(rig.world.laboratory.folder, 'backup');
    const data = ['--data', rig.service.folder];
    await gateway1.run([sallyport, 'backup', file, ...data]);

    // What came afterwards: alice is shut out, bob is new.
    await rig.user('bob');
    const bob = await rig.connect('bob', 'bob', { gateway: local });
    await rig.api.change('getDevice', 'deleteDevice', { deviceId: alice.device.id });
    for (let i = 0; i < 20; i++) {
      await rig.api.change('getUser', 'updateUser', { userId: 'alice' }, { disabled: i % 2 === 0 });
    }
    await until('the end', async () => (await seenFrom(machine, ADDRESSES.internet.ipv4)) === undefined);
    assert.notEqual(await seenFrom(bob.machine, ADDRESSES.internet.ipv4), undefined);
    const before = new Map((await gateways()).map(({ name, appliedVersion }) => [name, appliedVersion]));
    assert.ok((before.get('oslo') ?? 0) > 0);

    rig.service.process.signal('SIGTERM');
    assert.equal((await rig.service.process.end()).code, 0);
    await gateway1.run([sallyport, 'restore', file, '--force', ...data]);
    rig.service = await startService(rig.world);
    rig.api = await rig.logIn(ADMINISTRATOR.name, ADMINISTRATOR.password);
    assert.deepEqual((await names(rig)).sort(), ['admin', 'alice']);
    await rig.healthy('oslo');
    await rig.healthy(local ?? '');

    // alice's device is back and works; bob's, which the service no longer knows, does not.
    await until('alice', async () => (await seenFrom(machine, ADDRESSES.internet.ipv4)) !== undefined);
    assert.notEqual(await seenFrom(machine, ADDRESSES.internet.ipv6), undefined);
    for (const address of INTERNET) assert.equal(await seenFrom(bob.machine, address), undefined);
    await alice.app.use(await rig.configuration(alice.device, alice.privateKey, 'oslo'));
    await until(
      'alice at Oslo',
      async () => (await seenFrom(machine, ADDRESSES.internet.ipv4)) === ADDRESSES.gateway2.ipv4,
    );
    const settled = await until('all that was sent to be served', async () => {
      const all = await gateways();
      return all.every(({ stateVersion, appliedVersion }) => appliedVersion === stateVersion) && all;
    });
    for (const { name, appliedVersion } of settled) {
      assert.ok(appliedVersion > (before.get(name) ?? Infinity), `${name}: a version that it had before`);
    }
    const verdict = (await rig.api.call('verifyAudit')) as { valid: boolean; entries: number };
    assert.equal(verdict.valid, true);
    assert.ok(verdict.entries > 5);
    // A change reaches both.
    await rig.api.change('getUser', 'updateUser', { userId: 'alice' }, { disabled: true });
    await until('the end', async () => (await seenFrom(machine, ADDRESSES.internet.ipv4)) === undefined);
  });

  test('PostgreSQL stopped and started under it', async (t) => {
    const postgres = await PostgresServer.start();
    t.after(() => postgres.remove());
    chmodSync(postgres.folder, 0o711);
    const urlFile = join(postgres.folder, 'url');
    writeFileSync(urlFile, await postgres.createDatabase(), { mode: 0o600 });
    const rig = await ServiceRig.start({ configuration: `[storage]\npostgresql_url_file = "${urlFile}"\n` });
    t.after(() => rig.close());
    await rig.user('alice');
    const alice = await rig.connect('alice', 'alice');
    const flows = await startFlows(alice.machine, INTERNET);
    assert.equal(await readiness(rig), 200);

    const acknowledged: string[] = [];
    for (const how of ['stop', 'kill'] as const) {
      const creating = createUntilRefused(rig, how);
      await until('some users', async () => (await names(rig)).length > 5 + acknowledged.length);
      await postgres[how]();
      const { made, status } = await creating;
      acknowledged.push(...made);
      assert.equal(status, 503);
      await until('the loss to be said', async () => (await readiness(rig)) === 503, undefined, 100);
      assert.equal((await rig.api.refusal('createUser', { body: { name: 'refused' } })).problem?.status, 503);
      await flows.flowing();
      flows.assertUndisturbed();
      await postgres.restart();
      await until('the readiness', async () => (await readiness(rig)) === 200, undefined, 100);
      const kept = new Set(await names(rig));
      assert.deepEqual(
        acknowledged.filter((name) => !kept.has(name)),
        [],
      );
      assert.equal(((await rig.api.call('verifyAudit')) as { valid: boolean }).valid, true);
    }
    const { sentAt } = await rig.api.change('getUser', 'updateUser', { userId: 'alice' }, { disabled: true });
    await flows.assertCutOff(sentAt);
    await flows.stop();
  });

  test('the disk full', async (t) => {
    const disk = mkdtempSync(join(tmpdir(), 'sallyport-disk-'));
    const command = (...argv: [string, ...string[]]) => {
      const { status, stderr } = spawnSync(argv[0], argv.slice(1), { encoding: 'utf8' });
      assert.equal(status, 0, stderr);
    };
    command('mount', '-t', 'tmpfs', '-o', 'size=48m,mode=0711', 'sallyport-test', disk);
    t.after(() => {
      command('umount', '--lazy', disk);
      rmSync(disk, { recursive: true });
    });
    const rig = await ServiceRig.start({ folder: join(disk, 'data') });
    t.after(() => rig.close());
    await rig.user('alice');
    const alice = await rig.connect('alice', 'alice');
    const flows = await startFlows(alice.machine, INTERNET);
    const filler = join(disk, 'filler');
    spawnSync('dd', ['if=/dev/zero', `of=${filler}`, 'bs=4k']);

    const { made, status } = await createUntilRefused(rig, 'full');
    assert.equal(status, 503);
    await flows.flowing();
    flows.assertUndisturbed();
    // Reading goes on.
    assert.ok((await names(rig)).includes('alice'));

    rmSync(filler);
    await until('its recovery', async () => {
      try {
        await rig.user('afterwards');
        return true;
      } catch {
        return false;
      }
    });
    const kept = new Set(await names(rig));
    assert.deepEqual(
      [...made, 'afterwards'].filter((name) => !kept.has(name)),
      [],
    );
    assert.equal(((await rig.api.call('verifyAudit')) as { valid: boolean }).valid, true);
    await flows.flowing();
    flows.assertUndisturbed();
    const { sentAt } = await rig.api.change('getUser', 'updateUser', { userId: 'alice' }, { disabled: true });
    await flows.assertCutOff(sentAt);
    await flows.stop();
  });
});
