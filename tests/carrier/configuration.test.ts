import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import type { Reach } from '../../apps/server/src/addresses.ts';
import { tlsFactsOf } from '../../apps/server/src/carrier/tls-facts.ts';
import { readConfigurationFile } from '../../apps/server/src/config/read.ts';
import type { Configuration } from '../../apps/server/src/config/schema.ts';
import { carrierSettings } from '../../apps/server/src/settings.ts';

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
    const off = '[gateway]\ntls_listen = []\n';
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
