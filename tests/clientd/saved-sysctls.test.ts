/** Kernel settings that are other ones while there is a tunnel: what follows from them, and that all come back. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { until, wire, withLaboratory } from '@sallyport/netlab';

const child = join(import.meta.dirname, 'sysctl-child.ts');
/** A dot in an interface's name is another separator. */
const DEVICE = 'eth0.7';
const FORWARDING = { 'net.ipv6.conf.all.forwarding': '1' };

test('a connector for IPv6 keeps the way out that its router advertises, and gives all settings back after a crash', async () => {
  await withLaboratory(async (laboratory) => {
    const client = await laboratory.namespace('client');
    const router = await laboratory.namespace('router');
    const keys = [`${DEVICE}/accept_ra`, 'spare/accept_ra', 'router/accept_ra', 'router/forwarding', 'default/accept_ra', 'all/forwarding']; // prettier-ignore
    const read = async (): Promise<string[]> => {
      const { stdout } = await client.run(['cat', ...keys.map((key) => `/proc/sys/net/ipv6/conf/${key}`)]);
      return stdout.trim().split('\n');
    };
    const write = (key: string, value: string): Promise<unknown> =>
      client.run(['sh', '-c', `echo ${value} >/proc/sys/net/ipv6/conf/${key}`]);
    await wire({ namespace: client, name: DEVICE, addresses: [] }, { namespace: router, name: 'lan', addresses: ['2001:db8:77::1/64'] }); // prettier-ignore
    for (const name of ['spare', 'router']) await wire({ namespace: client, name, addresses: [] }, { namespace: router, name, addresses: [] }); // prettier-ignore
    await write('default/accept_ra', '1');
    // One that takes none, and one that takes none because it is a router's already.
    await write('spare/accept_ra', '0');
    await write('router/accept_ra', '1');
    await write('router/forwarding', '1');
    await write(`${DEVICE}/accept_ra`, '1');
    await router.start(['dnsmasq', '--keep-in-foreground', '--conf-file=/dev/null', '--user=root', '--pid-file=', '--port=0', `--dhcp-leasefile=${laboratory.file('leases', '')}`, '--interface=lan', '--enable-ra', '--dhcp-range=2001:db8:77::,ra-only,64', '--ra-param=lan,high,4,600']); // prettier-ignore
    const hasDefault = async (): Promise<boolean> => (await client.ip('-6', 'route', 'show', 'default')).includes('proto ra'); // prettier-ignore
    /** The client asks for an advertisement when the link comes up, if it would take one. */
    const solicit = async (): Promise<void> => {
      await client.ip('link', 'set', DEVICE, 'down');
      await client.ip('link', 'set', DEVICE, 'up');
    };
    await write(`${DEVICE}/router_solicitations`, '3');
    await solicit();
    await until('the advertisement', hasDefault);
    // The kernel by itself: its way out is gone.
    await write('all/forwarding', '1');
    assert.equal(await hasDefault(), false);
    await write('all/forwarding', '0');
    await write('router/forwarding', '1');
    await solicit();
    await until('the advertisement', hasDefault);
    const before = await read();
    assert.deepEqual(before, ['1', '0', '1', '1', '1', '0']);

    const file = laboratory.file('sysctls.json', '{}');
    const apply = (settings: object): Promise<unknown> =>
      client.run([process.execPath, child, file, JSON.stringify(settings)]);
    // As often as it is applied, and by another daemon after this one crashed.
    for (let run = 0; run < 2; run++) {
      await apply(FORWARDING);
      assert.deepEqual(await read(), ['2', '0', '1', '1', '2', '1']);
      assert.ok(await hasDefault(), 'the default route is still there');
    }
    await solicit();
    await until('another advertisement', hasDefault);
    await apply({});
    assert.deepEqual(await read(), before);
    assert.ok(await hasDefault(), 'the default route is still there at the end');
    assert.equal(existsSync(file), false);
  });
});
