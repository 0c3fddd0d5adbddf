/** The client and the real systemd-resolved: names go into the tunnel, and what the machine had comes back. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import type { ClientSettings } from '@sallyport/client';
import { until } from '@sallyport/netlab';
import { leaksDuring } from '../../demo/scenarios/client/outer-capture.ts';
import { ACCESS, WEB } from '../../demo/scenarios/client/world.ts';
import { PATH, Resolved, skip } from './client/resolved.ts';
import { ClientRig } from './client/rig.ts';

const INSIDE = 'corp.example';
/** A domain that the network at home hands out, with a name below that does not exist. */
const HOME = 'home.example';
const SPLIT_OFF: ClientSettings['split'] = { mode: 'off', networks: [] };

describe('with systemd-resolved', { skip }, () => {
  let rig: ClientRig;
  let resolved: Resolved;

  before(async () => {
    rig = await ClientRig.start(['gatewayB']);
    await rig.service.change('/settings', { dns: { searchDomains: [INSIDE], blocked: [`gone.${HOME}`] } });
    await rig.machine.stopDaemon();
    resolved = await Resolved.start(rig.world.client);
    await rig.machine.startDaemon({ PATH });
    const { device } = ACCESS.home;
    // As the network at home hands it out, with names that it wants to be asked for.
    await resolved.set('dns', device, WEB.ipv4);
    await resolved.set('domain', device, HOME, '~bank.example');
    await resolved.set('default-route', device, 'yes');
  });
  after(async () => {
    await rig.close();
  });

  let serial = 0;

  /** Asks for a name below the domain that nobody asked for before; returns who asked the name server, or undefined where it was not found. */
  async function askerFor(domain: string): Promise<string | undefined> {
    const name = `n${String(++serial)}.${domain}`;
    const found = await resolved.finds(name);
    // Gateways write names in letters of random size.
    const asked = (): string[] => rig.world.nameServer.stdout.toLowerCase().split('\n').filter((line) => line.endsWith(` ${name}`)); // prettier-ignore
    if (found) await until('the question', () => asked().length > 0);
    else assert.deepEqual(asked(), []);
    const askers = new Set(asked().map((line) => line.split(' ')[0]));
    assert.ok(askers.size <= 1, [...askers].join(' '));
    return [...askers][0];
  }

  const inside = /^198\.51\.100\./;

  /** Whether a name below the domain is asked for in the tunnel; while that changes, each way may find something else. */
  const isInside = (domain: string): Promise<boolean> =>
    askerFor(domain).then(
      (asker) => inside.test(asker ?? ''),
      () => false,
    );
  const outside = ACCESS.home.outside;

  test('names go into the tunnel only, whatever the network around says; and all comes back exactly', async () => {
    const before = await resolved.settings();
    const open = await leaksDuring(rig.world, async () => {
      assert.equal(await askerFor('example.net'), outside);
    });
    assert.ok(open.names > 0, 'the capture sees names');
    for (const killSwitch of [true, false]) {
      await rig.set({ killSwitch });
      const { dns } = await rig.connect('near');
      assert.equal(dns.by, 'resolved');
      const tight = await leaksDuring(rig.world, async () => {
        for (const domain of ['example.net', INSIDE, HOME, 'bank.example'])
          assert.match((await askerFor(domain)) ?? '', inside, domain);
        // It is known for absent, not given up: of the network's own servers nobody waits for an answer.
        assert.match(await resolved.refusalOf(`gone.${HOME}`), /not found/);
        // A renewed lease wants other names, and all of them.
        await resolved.set('domain', ACCESS.home.device, 'mail.example', '~.');
        await until('what it wants', async () => (await resolved.of('domain', 'sallyport')).includes('~mail.example'));
        for (const domain of ['example.net', 'mail.example'])
          assert.match((await askerFor(domain)) ?? '', inside, domain);
        await resolved.set('domain', ACCESS.home.device, HOME, '~bank.example');
      });
      assert.equal(tight.names, 0, JSON.stringify(tight.kinds));
      if (killSwitch) assert.deepEqual(tight.kinds, {});
      await rig.disconnect();
      await resolved.isAsBefore(before);
    }
    await rig.set({ killSwitch: true });
  });

  test('the daemon is killed, and comes back; resolved is started anew; the interface is taken away', async () => {
    const before = await resolved.settings();
    await rig.connect('near');
    const tight = await leaksDuring(rig.world, async () => {
      await rig.machine.killDaemon();
      assert.ok(await resolved.isSilent('while-it-is-down.example'));
      await rig.machine.startDaemon({ PATH });
      await rig.connected();
      assert.match((await askerFor('example.net')) ?? '', inside);
      await resolved.restart();
      assert.match((await askerFor('example.net')) ?? '', inside);
      await rig.world.client.ip('link', 'delete', 'sallyport');
      await until('names', () => isInside('example.net'));
    });
    assert.deepEqual(tight.kinds, {});
    await rig.connect('gatewaya', 'gatewayb');
    assert.match((await askerFor('example.net')) ?? '', inside);
    await rig.connect('gatewayb', 'none');
    assert.match((await askerFor('example.net')) ?? '', inside);
    await rig.disconnect();
    await resolved.isAsBefore(before);
  });

  test('some networks inside alone: their names there, the others outside', async () => {
    const before = await resolved.settings();
    await rig.set({ split: { mode: 'include', networks: ['203.0.113.128/25'] } });
    await rig.connect('near');
    assert.deepEqual(await resolved.of('domain', 'sallyport'), [INSIDE]);
    assert.match((await askerFor(INSIDE)) ?? '', inside);
    assert.equal(await askerFor('example.net'), outside);
    await rig.set({ split: SPLIT_OFF });
    await until('all names', () => isInside('example.net'));
    await rig.disconnect();
    await resolved.isAsBefore(before);
  });
});
