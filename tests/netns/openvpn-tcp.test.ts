// OpenVPN over TCP to a whole server: by the port of its own and by the console's, openvpn and our own client.
import assert from 'node:assert/strict';
import { generateKeyPairSync } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { pingSteadily, until, wire, withLaboratory, type NetworkNamespace } from '@sallyport/netlab';
import { dataFolder, Server } from './server-world.ts';

const sallyport = fileURLToPath(new URL('../../bin/sallyport', import.meta.url));

/** A device of the administrator's, and its profile with the private key in it. */
async function profileOf(server: Server, session: string, name: string, login = 'certificate'): Promise<string> {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
  const added = await server.call('POST', '/api/v1/me/openvpn-devices', { name, publicKey: spki, login }, session);
  assert.equal(added.status, 201, JSON.stringify(added.body));
  const { id } = added.body as { id: string };
  const { stdout } = await server.namespace.run([
    ...['curl', '--silent', '--insecure', '--fail', '--header', `authorization: Bearer ${session}`],
    `${server.facts.control?.url ?? ''}/api/v1/me/devices/${id}/openvpn-profile`,
  ]);
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' }).trim();
  const whole = stdout.replace(/^# Put the private key.*\n# <key><\/key>$/m, `<key>\n${key}\n</key>`);
  assert.notEqual(whole, stdout);
  return whole;
}

function withRemote(profile: string, remote: string): string {
  const lines = profile.split('\n').filter((line) => !line.startsWith('remote ') && !line.startsWith('proto '));
  return [`remote ${remote}`, ...lines].join('\n');
}

/** The page on which a login is approved shows where the client is in truth. */
async function loginShowsAddress(server: Server, session: string, near: NetworkNamespace, file: string): Promise<void> {
  const profile = await profileOf(server, session, 'phone', 'web');
  for (const [remote, wanted] of [
    ['192.0.2.2 1194 tcp', '192.0.2.1'],
    ['2001:db8::2 443 tcp6', '2001:db8::1'],
  ] as const) {
    writeFileSync(file, withRemote(profile, remote), { mode: 0o600 });
    const client = await near.start([sallyport, 'openvpn', 'up', '--foreground', file]);
    const code = await until('the page', () => /[?&]code=(\S+)/.exec(client.stderr)?.[1]);
    const login = await server.call('GET', `/api/v1/me/tunnel-logins/${code}`, undefined, session);
    assert.equal((login.body as { address: string }).address, wanted, JSON.stringify(login.body));
    await client.stop();
  }
}

async function consoleAnswers(near: NetworkNamespace): Promise<void> {
  const { stdout } = await near.run([
    'curl',
    '--silent',
    '--insecure',
    '--max-time',
    '60',
    'https://192.0.2.2/api/v1/setup',
  ]);
  assert.notEqual(stdout, '');
}

test('by TCP on its own port, and on that of the console', () =>
  withLaboratory(async (laboratory) => {
    const gateway = await laboratory.namespace('gateway');
    const near = await laboratory.namespace('near');
    await wire(
      { namespace: near, name: 'wire', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
      { namespace: gateway, name: 'wire', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
    );
    const config = laboratory.file('sallyport.toml', '[gateway]\nopenvpn_on_web = true\n');
    const data = dataFolder();
    try {
      const server = await Server.start(gateway, ['--data', data.path, '--config', config]);
      const session = await server.setUp();
      const first = await until('a profile', () => profileOf(server, session, 'laptop').catch(() => undefined));
      // What profiles name is the console's port.
      assert.match(first, /^remote \S+ 443 tcp/m);
      for (const remote of ['192.0.2.2 1194 tcp', '192.0.2.2 443 tcp', '2001:db8::2 443 tcp6']) {
        const file = laboratory.file('debian.ovpn', withRemote(first, remote));
        const openvpn = await near.start([
          'openvpn',
          '--config',
          file,
          '--dev',
          'tun7',
          '--route-nopull',
          '--verb',
          '3',
        ]);
        await until(`openvpn by ${remote}`, () => {
          if (openvpn.exit !== undefined) throw new Error(openvpn.stdout);
          return openvpn.stdout.includes('Initialization Sequence Completed');
        });
        const { received, output } = await pingSteadily(near, '10.77.0.1', { count: 3, intervalMs: 100 });
        assert.ok(received >= 2, output);
        await consoleAnswers(near);
        await openvpn.stop();
      }
      const own = laboratory.file('own.ovpn', withRemote(await profileOf(server, session, 'own'), '192.0.2.2 443 tcp'));
      laboratory.removeAtEnd('/run/sallyport/openvpn-own.json');
      const up = await near.run([sallyport, 'openvpn', 'up', '--json', own], { allowFailure: true });
      assert.equal(up.code, 0, up.stderr);
      const { received, output } = await pingSteadily(near, '10.77.0.1', { count: 3, intervalMs: 100 });
      assert.ok(received >= 2, output);
      await near.run([sallyport, 'openvpn', 'down', own]);
      laboratory.removeAtEnd('/run/sallyport/openvpn-phone.json');
      await loginShowsAddress(server, session, near, laboratory.file('phone.ovpn', ''));
      assert.doesNotMatch(server.process.stderr, /"level":"error"/);
      await server.stop();
    } finally {
      data.remove();
    }
  }));
