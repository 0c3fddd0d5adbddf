import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import type { Reach } from '../../apps/server/src/addresses.ts';
import { openvpnTcpPort, tlsFactsOf } from '../../apps/server/src/carrier/tls-facts.ts';
import { readConfigurationFile } from '../../apps/server/src/config/read.ts';
import type { Configuration } from '../../apps/server/src/config/schema.ts';
import { carrierSettings, controlSettings, gatewaySettings } from '../../apps/server/src/settings.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-carrier-'));
after(() => {
  rmSync(folder, { recursive: true });
});

function read(text: string): Configuration {
  const path = join(folder, 'sallyport.toml');
  writeFileSync(path, text);
  return readConfigurationFile(path);
}

const folders = {
  control: '/d/control',
  gateway: '/d/gateway',
  carrier: '/d/carrier',
  names: '/d/names',
  joinFile: '/d/join.json',
};
const reach = (publicUrl: string): Reach => ({
  publicUrl,
  gatewayHost: 'vpn.example',
  certificateHosts: ['vpn.example', 'localhost'],
});
const ready = {
  kind: 'ready' as const,
  path: '/abcdefghijklmnopqrstuvwx',
  certificateSha256: 'ab'.repeat(32),
  ports: [8444, 8444],
  openvpnPorts: [1194, 1194],
};
const facts = (text: string, url: string, fingerprint?: string) =>
  tlsFactsOf(read(text), reach(url), ready, fingerprint);

suite('the configuration of the tunnel over TLS', () => {
  test('by default it listens on a port of its own, and devices are told that', () => {
    const settings = carrierSettings(read(''), folders, reach('https://vpn.example'));
    assert.deepEqual(settings?.listen, [
      { host: '0.0.0.0', port: 8444 },
      { host: '::', port: 8444 },
    ]);
    assert.deepEqual([settings.behindWeb, settings.wireguardPort, settings.user?.uid], [false, 51_820, 64_873]);
    assert.deepEqual(settings.hosts, ['vpn.example', 'localhost']);
    const expected = { host: '', port: 8444, path: ready.path, certificateSha256: ready.certificateSha256 };
    assert.deepEqual(facts('', 'https://vpn.example'), expected);
  });

  test('with tls_on_web devices are told the address of the console, and its certificate where nobody vouches for it', () => {
    const text = '[gateway]\ntls_on_web = true\n';
    assert.equal(carrierSettings(read(text), folders, reach('https://vpn.example'))?.behindWeb, true);
    const { path } = ready;
    assert.deepEqual(facts(text, 'https://vpn.example:8443'), {
      host: 'vpn.example',
      port: 8443,
      path,
      certificateSha256: null,
    });
    assert.deepEqual(facts(text, 'https://[2001:db8::1]', 'AB:0C'), {
      host: '2001:db8::1',
      port: 443,
      path,
      certificateSha256: 'ab0c',
    });
    assert.equal(facts(text, 'http://vpn.example')?.port, 8444, 'not without TLS');
  });

  test('an empty list turns it off, the console apart', () => {
    const off = '[gateway]\nopenvpn_port = 0\ntls_listen = []\n';
    assert.equal(carrierSettings(read(off), folders, reach('https://vpn.example')), undefined);
    const onWeb = carrierSettings(read(`${off}tls_on_web = true\n`), folders, reach('https://vpn.example'));
    assert.deepEqual([onWeb?.listen, onWeb?.behindWeb], [[], true]);
    assert.equal(
      carrierSettings(read('[gateway]\nenabled = false\n'), folders, reach('https://vpn.example')),
      undefined,
    );
  });

  test('what can not be is refused: a port of the console, a console elsewhere, a user of another process', () => {
    assert.throws(
      () => read('[gateway]\ntls_listen = ["192.0.2.1:443"]'),
      /:2: gateway\.tls_listen: port 443 is the console's/,
    );
    read('[web]\nlisten = ["192.0.2.1:443"]\n[gateway]\ntls_listen = ["192.0.2.2:443"]');
    read('[control]\nenabled = false\n[gateway]\ntls_listen = ["0.0.0.0:443"]');
    assert.throws(
      () => read('[control]\nenabled = false\n[gateway]\ntls_on_web = true'),
      /gateway\.tls_on_web: there is no console/,
    );
    assert.throws(() => read('[process]\ncarrier_uid = 64872'), /process\.carrier_uid: must differ from gateway_uid/);
    assert.throws(() => read('[gateway]\ntls_listen = ["8444"]'), /gateway\.tls_listen: "8444" is no address/);
  });
});

suite('the configuration of OpenVPN', () => {
  const at = reach('https://vpn.example');
  const gatewayOf = (text: string) =>
    gatewaySettings(read(text), folders, at, { url: 'https://vpn.example' }, { tls: undefined, openvpnTcpPort: 1194 });

  test('by default it is spoken by UDP and by TCP, on 1194', () => {
    assert.deepEqual(carrierSettings(read(''), folders, at)?.openvpn, {
      listen: [
        { host: '0.0.0.0', port: 1194 },
        { host: '::', port: 1194 },
      ],
      behindWeb: false,
      port: 1194,
    });
    assert.deepEqual(gatewayOf('').openvpn, { port: 1194, tcpPort: 1194 });
    assert.equal(openvpnTcpPort(read(''), at, ready), 1194);
    assert.equal(openvpnTcpPort(read(''), at, { openvpnPorts: [] }), 0, 'its port was taken');
    assert.equal(openvpnTcpPort(read(''), at, undefined), 0);
    assert.equal(controlSettings(read(''), folders, at, false).openvpnOnWeb, false);
  });

  test('with openvpn_on_web it comes by the port of the console', () => {
    const text = '[gateway]\nopenvpn_tcp_listen = []\nopenvpn_on_web = true\n';
    assert.deepEqual(carrierSettings(read(text), folders, at)?.openvpn, { listen: [], behindWeb: true, port: 1194 });
    assert.equal(controlSettings(read(text), folders, at, false).openvpnOnWeb, true);
    const web = { openvpnPorts: [], openvpnWebPort: 40_000 };
    assert.equal(openvpnTcpPort(read(text), at, web), 443);
    assert.equal(openvpnTcpPort(read(text), reach('https://vpn.example:8443'), web), 8443);
    assert.equal(openvpnTcpPort(read(text), at, { openvpnPorts: [] }), 0);
  });

  test('it is off by port 0, and by TCP by an empty list', () => {
    const off = '[gateway]\nopenvpn_port = 0\n';
    assert.equal(gatewayOf(off).openvpn, undefined);
    assert.equal(carrierSettings(read(off), folders, at)?.openvpn, undefined);
    assert.equal(carrierSettings(read('[gateway]\nopenvpn_tcp_listen = []\n'), folders, at)?.openvpn, undefined);
    const alone = '[gateway]\ntls_listen = []\nopenvpn_tcp_listen = ["192.0.2.1:443"]\n[control]\nenabled = false\n';
    assert.equal(carrierSettings(read(alone), folders, at)?.openvpn?.listen.length, 1);
  });

  test('what can not be is refused', () => {
    const wrong: [string, RegExp][] = [
      ['openvpn_port = 51821', /:2: gateway\.openvpn_port: must differ from amneziawg_port/],
      ['openvpn_tcp_listen = ["0.0.0.0:443"]', /:2: .*port 443 is the console's already; .*openvpn_on_web = true/],
      ['openvpn_tcp_listen = ["0.0.0.0:8444"]', /:2: gateway\.openvpn_tcp_listen: port 8444 is that of tls_listen/],
      ['openvpn_on_web = true\n[web]\ntls = "off"', /:2: gateway\.openvpn_on_web: the proxy in front/],
      ['openvpn_on_web = true\n[control]\nenabled = false', /:2: gateway\.openvpn_on_web: there is no console/],
      ['openvpn_on_web = true\nopenvpn_port = 0', /:2: gateway\.openvpn_on_web: openvpn_port = 0 turns OpenVPN off/],
    ];
    for (const [text, expected] of wrong) assert.throws(() => read(`[gateway]\n${text}`), expected);
  });
});
