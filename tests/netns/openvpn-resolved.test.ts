/** `sallyport openvpn up` where the real systemd-resolved has the machine's names. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { until, wire, withLaboratory } from '@sallyport/netlab';
import { TestAuthority, type Issued } from '../openvpn/authority.ts';
import { PATH, Resolved, skip } from './client/resolved.ts';

const sallyport = fileURLToPath(new URL('../../bin/sallyport', import.meta.url));
const nameServer = fileURLToPath(new URL('../../demo/scenarios/client/name-server.ts', import.meta.url));

const keys = (authority: TestAuthority, { certificate, privateKey }: Issued): string[] =>
  Object.entries({ ca: authority.certificate, cert: certificate, key: privateKey.reveal() }).map(
    ([name, text]) => `<${name}>\n${text.trim()}\n</${name}>`,
  );

test('names that a server pushes servers for are asked in the tunnel, and all comes back', { skip }, () =>
  withLaboratory(async (laboratory) => {
    const [client, server] = [await laboratory.namespace('ovclient'), await laboratory.namespace('ovserver')];
    await wire(
      { namespace: client, name: 'wire0', addresses: ['192.0.2.1/24'] },
      { namespace: server, name: 'wire0', addresses: ['192.0.2.2/24'] },
    );
    await client.route('0.0.0.0/0', 'via', '192.0.2.2');
    const asked = await server.start([process.execPath, nameServer]);
    await until('the name server', () => asked.stdout.includes('ready'));
    const resolved = await Resolved.start(client);
    await resolved.set('dns', 'wire0', '192.0.2.2');
    await resolved.set('domain', 'wire0', 'home.example');

    const authority = await TestAuthority.make();
    const lines = ['mode server', 'tls-server', 'dev ovserver0', 'dev-type tun', 'disable-dco', 'proto udp', 'port 1194', 'topology subnet', 'server 10.8.0.0 255.255.255.0', 'keepalive 1 10', 'dh none', 'push "redirect-gateway def1"', 'push "dhcp-option DNS 10.8.0.1"', 'push "dhcp-option DOMAIN corp.example"']; // prettier-ignore
    const ofServer = [...lines, ...keys(authority, await authority.issue('vpn.example', { usage: 'server' })), ''];
    const openvpn = await server.start(['openvpn', '--config', laboratory.file('server.conf', ofServer.join('\n'))]);
    await until('the server', () => openvpn.stdout.includes('Initialization Sequence Completed'));
    const ofClient = ['client', 'dev tun', 'remote 192.0.2.2', 'remote-cert-tls server', ...keys(authority, await authority.issue('alice', { usage: 'client' })), '']; // prettier-ignore
    const name = laboratory.interfaceName();
    const file = join(laboratory.folder, `${name}.ovpn`);
    writeFileSync(file, ofClient.join('\n'), { mode: 0o600 });

    /** From which address a new name below the domain was asked for. */
    let serial = 0;
    const askerFor = async (domain: string): Promise<string | undefined> => {
      const question = `n${String(++serial)}.${domain}`;
      assert.ok(await resolved.finds(question));
      return until('the question', () => {
        const line = asked.stdout.split('\n').find((one) => one.endsWith(` ${question}`));
        return line?.split(' ')[0];
      });
    };
    const before = await resolved.settings();
    assert.equal(await askerFor('example.net'), '192.0.2.1');
    const env = { PATH };
    await client.run([sallyport, 'openvpn', 'up', file], { env });
    for (const domain of ['example.net', 'corp.example']) assert.equal(await askerFor(domain), '10.8.0.2');
    await client.run([sallyport, 'openvpn', 'down', name], { env });
    await resolved.isAsBefore(before);
    assert.equal(await askerFor('example.net'), '192.0.2.1');
  }),
);
