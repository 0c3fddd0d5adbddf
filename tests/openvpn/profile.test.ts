import assert from 'node:assert/strict';
import { inspect } from 'node:util';
import { test } from 'node:test';
import { parseProfile, pulledNetwork } from '../../packages/openvpn/src/profile/index.ts';
import { fuzzProfile } from '../fuzz/profile.ts';
import {
  block,
  CERTIFICATE,
  CLIENT_KEY,
  faultsIn,
  KEY,
  LEAST,
  parsed,
  STATIC_KEY,
  warningsIn,
} from './profile-files.ts';

test('a profile with everything in it', () => {
  const profile = parsed(`# OVPN_ACCESS_SERVER_PROFILE=alice@vpn.example.com
client
dev tun0
proto udp4
port 1195
remote vpn.example.com
remote 192.0.2.7 443 tcp
remote 2001:db8::1 1194 udp6
remote-random
nobind
persist-key
persist-tun
resolv-retry infinite
connect-timeout 20
connect-retry 2 30
connect-retry-max 5
remote-cert-tls server
verify-x509-name "gateway 1" name
tls-version-min 1.2 or-highest
tls-version-max 1.3
data-ciphers AES-256-GCM:CHACHA20-POLY1305:?AES-256-CFB
cipher AES-256-CBC
data-ciphers-fallback AES-128-GCM
auth SHA256
auth-user-pass
static-challenge "Enter the code from \\"the app\\"" 1
auth-nocache
auth-retry interact
reneg-sec 3600
reneg-bytes 64000000
hand-window 30
keepalive 10 60
inactive 3600
explicit-exit-notify 3
tun-mtu 1400
mssfix 1300
route 10.1.2.3 255.255.0.0
route 192.168.9.0 255.255.255.0 net_gateway 5
route-ipv6 2001:DB8:1::/48
redirect-gateway def1 ipv6 bypass-dhcp
dhcp-option DNS 10.8.0.1
dhcp-option DOMAIN corp.example
pull-filter ignore "route 10.66"
pull-filter reject "block-outside"
setenv UV_ASSET "laptop 7"
setenv CLIENT_CERT 0
setenv opt block-outside-dns
push-peer-info
verb 3
key-direction 1
${block('ca', `Certificate:\n    Data: whatever\n${CERTIFICATE}${CERTIFICATE}`)}${block('cert', CERTIFICATE)}${block('key', KEY)}${block('tls-auth', `#\n# 2048 bit OpenVPN static key\n#\n${STATIC_KEY}`)}`);
  assert.deepEqual(profile.remotes, [
    { host: 'vpn.example.com', port: 1195, transport: 'udp', family: 4 },
    { host: '192.0.2.7', port: 443, transport: 'tcp', family: undefined },
    { host: '2001:db8::1', port: 1194, transport: 'udp', family: 6 },
  ]);
  assert.equal(profile.remoteRandom, true);
  assert.deepEqual(
    [profile.connectTimeout, profile.connectRetry, profile.connectRetryMax],
    [20, { first: 2, last: 30 }, 5],
  );
  assert.deepEqual(profile.verifyName, { kind: 'name', name: 'gateway 1' });
  assert.deepEqual([profile.serverPurpose, profile.tlsVersionMin, profile.tlsVersionMax], [true, '1.2', '1.3']);
  assert.deepEqual(profile.dataCiphers, ['AES-256-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC']);
  assert.deepEqual([profile.fallbackCipher, profile.auth], ['AES-128-GCM', 'SHA256']);
  assert.deepEqual(profile.login, {});
  assert.deepEqual(profile.staticChallenge, { text: 'Enter the code from "the app"', echo: true, concatenate: false });
  assert.equal(profile.authRetry, 'interact');
  assert.deepEqual(profile.renegotiate, { seconds: 3600, bytes: 64_000_000 });
  assert.equal(profile.handshakeWindow, 30);
  assert.deepEqual(profile.ping, { every: 10, restart: 60, exit: undefined });
  assert.deepEqual([...profile.peerInfo], [['UV_ASSET', 'laptop 7']]);
  assert.equal(profile.pushPeerInfo, true);
  assert.equal(profile.authority, CERTIFICATE + CERTIFICATE);
  assert.equal(profile.certificate, CERTIFICATE);
  assert.equal(profile.key?.reveal(), KEY);
  assert.equal(profile.wrapping.kind === 'tlsAuth' && profile.wrapping.direction, 1);
  assert.equal(profile.wrapping.kind === 'tlsAuth' && profile.wrapping.key.reveal()[255], 255);
  const { network, pull } = profile;
  assert.deepEqual(network.routes, [
    { prefix: '10.1.0.0/16', family: 4, gateway: 'vpn', metric: undefined },
    { prefix: '192.168.9.0/24', family: 4, gateway: 'net', metric: 5 },
    { prefix: '2001:db8:1::/48', family: 6, gateway: 'vpn', metric: undefined },
  ]);
  assert.deepEqual([network.defaults, network.dnsServers, network.dnsSearch], [[4, 6], ['10.8.0.1'], ['corp.example']]);
  assert.deepEqual([network.tunMtu, network.mssfix], [1400, 1300]);
  assert.deepEqual(pull.filters, [
    { action: 'ignore', prefix: 'route 10.66' },
    { action: 'reject', prefix: 'block-outside' },
  ]);
});

test('words are taken apart as OpenVPN does', () => {
  const named = (line: string): string | undefined => parsed(`${LEAST}${line}`).verifyName?.name;
  assert.equal(named('verify-x509-name "a b"'), 'a b');
  assert.equal(named('verify-x509-name \'a \\ "b"\' name'), 'a \\ "b"');
  assert.equal(named('verify-x509-name a\\ b\\\\c name ; a comment'), 'a b\\c');
  assert.equal(named('\tverify-x509-name\ta#b\tname # a comment'), 'a#b');
  assert.equal(named('--verify-x509-name a"b"'), 'a"b"');
  assert.deepEqual(
    faultsIn(`${LEAST}verify-x509-name "a b`).map((one) => one.split(';')[0]),
    ['19: a quotation mark without its other'],
  );
  assert.match(faultsIn(`${LEAST}verify-x509-name C:\\keys`)[0] ?? '', /^19: a backslash/);
  assert.deepEqual(parsed(`\uFEFF${LEAST.replaceAll('\n', '\r\n')}`), parsed(LEAST));
});

test('each server of a block has its own port and protocol, and what came before the block', () => {
  const profile = parsed(`${LEAST.replace('remote vpn.example.com\n', '')}
port 1200
<connection>
remote one.example.com
proto tcp
nobind
</connection>
<connection>
remote two.example.com 1300
</connection>
port 1400
remote three.example.com`);
  assert.deepEqual(
    profile.remotes.map(({ host, port, transport }) => `${host} ${String(port)} ${transport}`),
    ['one.example.com 1200 tcp', 'two.example.com 1300 udp', 'three.example.com 1400 udp'],
  );
  assert.match(
    faultsIn(`${LEAST}<connection>\nproto udp\n</connection>`)[0] ?? '',
    /^19: a <connection> has one server/,
  );
  assert.match(faultsIn(`${LEAST}<connection>\nremote a\nca x.pem\n</connection>`)[0] ?? '', /^21: ca: .* out of the/);
});

test('the control channel is protected in one way', () => {
  assert.deepEqual(parsed(LEAST).wrapping, { kind: 'none' });
  const v2 = parsed(LEAST + block('tls-crypt-v2', CLIENT_KEY)).wrapping;
  assert.equal(v2.kind === 'tlsCryptV2' && v2.wrappedKey.length, 300);
  assert.equal(parsed(LEAST + block('tls-crypt', STATIC_KEY)).wrapping.kind, 'tlsCrypt');
  const both = faultsIn(LEAST + block('tls-crypt', STATIC_KEY) + block('tls-crypt-v2', CLIENT_KEY));
  assert.match(both.join(), /line 19 protects the control channel already; remove one of the two/);
  assert.match(
    faultsIn(LEAST + block('tls-crypt', STATIC_KEY.replace('00', 'zz'))).join(),
    /tls-crypt: not a static key/,
  );
});

test('files beside the profile are read by whoever can', () => {
  const text = LEAST.replace(block('ca', CERTIFICATE), 'ca keys/ca.crt\nauth-user-pass login.txt\n');
  const files: Record<string, string> = { 'keys/ca.crt': CERTIFICATE, 'login.txt': 'alice\r\nquite secret\r\n' };
  const result = parseProfile(text, { read: (path) => files[path] });
  assert.equal(result.ok && result.profile.authority, CERTIFICATE);
  assert.equal(result.ok && result.profile.login?.userName, 'alice');
  assert.equal(result.ok && result.profile.login?.password?.reveal(), 'quite secret');
  assert.match(faultsIn(text).join(), /4: ca: the file "keys\/ca.crt" can't be read; put it beside the profile/);
});

test('what is wrong has its line and a remedy', () => {
  const wrong: [string, RegExp][] = [
    ['up /etc/openvpn/update-resolv-conf', /^19: up: programs and plug-ins of a profile are not run; remove the line/],
    ['script-security 2', /^19: script-security: scripts of a profile are not run; remove the line/],
    ['plugin /usr/lib/x.so', /^19: plugin: programs and plug-ins/],
    ['comp-lzo', /^19: comp-lzo: compression is not spoken/],
    ['compress lz4-v2', /^19: compress: compression/],
    ['dev tap', /^19: dev: .*tap.*ask its operator for "dev tun"/],
    ['secret static.key', /^19: secret: .*forward secrecy/],
    ['pkcs12 me.p12', /^19: pkcs12: .*openssl pkcs12 -in FILE/],
    ['server 10.8.0.0 255.255.255.0', /^19: server: this is a server's option/],
    ['remote vpn..example', /^19: remote: "vpn..example" is neither a name nor an address/],
    ['remote vpn.example.com 70000', /^19: remote: "70000" is not a port/],
    ['proto tcp-server', /^19: proto: tcp-server is a server's; write tcp/],
    ['cipher none', /^19: cipher: .*in the clear/],
    ['data-ciphers BF-CBC', /^19: data-ciphers: none of them is spoken/],
    ['fragment 1200', /^19: fragment: /],
    ['remote-cert-tls client', /^19: remote-cert-tls: .*write remote-cert-tls server/],
    ['ns-cert-type server', /^19: ns-cert-type: write remote-cert-tls server/],
    ['keepalive 10 15', /^19: keepalive: .*at least twice/],
    ['route 10.0.0.0 255.0.255.0', /^19: route: "255.0.255.0" is not a netmask/],
    ['redirect-gateway def2', /^19: redirect-gateway: "def2" is none of its flags/],
    ['remote-randon', /^19: unknown option "remote-randon"; did you mean remote-random\?/],
    ['qwertz 1', /^19: unknown option "qwertz"; remove it, or write above it: ignore-unknown-option/],
    ['client now', /^19: client: it stands alone on its line/],
    ['<ca>', /^19: the block <ca> has no end; write <\/ca>/],
    ['</ca>', /^19: the end of a block that was not begun/],
    ['a\u0000b', /^19: a control character/],
    ['x'.repeat(5000), /^19: the line has more than 4096 characters/],
  ];
  for (const [line, expected] of wrong) assert.match(faultsIn(LEAST + line)[0] ?? '(none)', expected);
  assert.match(faultsIn('').join('|'), /no client's profile.*no server.*who the server is.*who you are/);
  assert.equal(faultsIn('x\n'.repeat(1000)).length, 101);
  assert.match(faultsIn('#'.repeat(2 ** 21))[0] ?? '', /longer than a profile/);
});

test('what is not known may be passed over where the profile says so', () => {
  assert.deepEqual(faultsIn(`${LEAST}shiny 1\nignore-unknown-option shiny other`), []);
  assert.deepEqual(faultsIn(`${LEAST}setenv FORWARD_COMPATIBLE 1\nshiny 1\n<shinier>\nx\n</shinier>`), []);
  assert.deepEqual(faultsIn(`${LEAST}setenv opt shiny 1`), []);
  assert.match(faultsIn(`${LEAST}setenv opt comp-lzo`).join(), /19: comp-lzo/);
});

test('what is different here is said', () => {
  const cbc = LEAST + 'cipher AES-256-CBC\n';
  assert.match(
    warningsIn(cbc).join(),
    /AES-256-CBC is spoken with SHA256 alone, and this profile has SHA1; client and/,
  );
  assert.deepEqual(parsed(cbc).dataCiphers, ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305']);
  assert.deepEqual(parsed(`${cbc}auth SHA256\n`).dataCiphers.at(-1), 'AES-256-CBC');
  assert.match(faultsIn(`${LEAST}data-ciphers AES-256-CBC`).join(), /the server has to take auth SHA256/);
  assert.deepEqual(warningsIn(`${LEAST}user nobody\nmanagement 127.0.0.1 7505\ntls-cipher TLS-ECDHE-RSA`), [
    '19: user: it stays root, to take back what it changed',
    '20: management: there is no management interface',
    '21: tls-cipher: our own choice of ciphers is used, which is a strict one',
  ]);
  assert.match(
    warningsIn(LEAST.replace('remote-cert-tls server\n', '')).join(),
    /passes for the server's; write remote-cert-tls/,
  );
});

test('no fault, warning or printed profile shows a secret', () => {
  const secret = 'hunter2hunter2hunter2hunter2';
  const result = parseProfile(LEAST + block('auth-user-pass', `alice\n${secret}\n`) + block('tls-crypt', STATIC_KEY));
  assert.ok(result.ok);
  const shown = inspect(result, { depth: 9 }) + JSON.stringify(result);
  for (const part of [secret, 'MIGHAgEAMBMG', '101112131415']) assert.ok(!shown.includes(part), part);
  for (const line of [`key ${secret}`, secret, `remote ${secret}== 1`, `auth ${secret}`]) {
    assert.ok(
      !faultsIn(LEAST + line)
        .join()
        .includes(secret),
      line,
    );
  }
});

test('what a server pushes is added, as far as the profile lets it', () => {
  const profile = parsed(
    `${LEAST}pull-filter ignore "route 10.66"\npull-filter ignore redirect-gateway\nroute 10.9.0.0 255.255.0.0\n`,
  );
  const pushed = [
    'ifconfig 10.8.0.6 255.255.255.0',
    'ifconfig-ipv6 fd00::6/64 fd00::1',
    'topology subnet',
    'route-gateway 10.8.0.1',
    'route 10.66.0.0 255.255.0.0',
    'route 10.67.0.0 255.255.0.0 vpn_gateway 7',
    'redirect-gateway def1',
    'dhcp-option DNS 10.8.0.1',
    'dns server 1 address [fd00::1]:53 10.8.0.2',
    'dns server 0 address 10.8.0.3',
    'dns server 0 resolve-domains corp.example',
    'dns search-domains corp.example lab.example',
    'route 300.1.2.3',
    'tun-mtu 1420',
    'peer-id 3',
    'ping 10',
  ];
  const { network, faults } = pulledNetwork(profile, pushed);
  assert.deepEqual(network, {
    ipv4: '10.8.0.6/24',
    ipv4Peer: undefined,
    ipv6: 'fd00::6/64',
    routes: [
      { prefix: '10.9.0.0/16', family: 4, gateway: 'vpn', metric: undefined },
      { prefix: '10.67.0.0/16', family: 4, gateway: 'vpn', metric: 7 },
    ],
    defaults: [],
    blockIpv6: false,
    blockLocal: false,
    routeMetric: undefined,
    dnsServers: ['10.8.0.3'],
    dnsSearch: ['corp.example', 'lab.example'],
    tunMtu: 1420,
    mssfix: undefined,
  });
  assert.equal(faults.length, 1);
  const noRoutes = pulledNetwork(parsed(`${LEAST}route-nopull\nroute 10.9.0.0 255.255.0.0\n`), pushed).network;
  assert.deepEqual(
    noRoutes.routes.map(({ prefix }) => prefix),
    ['10.9.0.0/16'],
  );
  assert.deepEqual([noRoutes.ipv4, noRoutes.dnsServers], ['10.8.0.6/24', []]);
  const net30 = pulledNetwork(parsed(LEAST), ['ifconfig 10.8.0.6 10.8.0.5', 'topology net30']).network;
  assert.deepEqual([net30.ipv4, net30.ipv4Peer], ['10.8.0.6/32', '10.8.0.5']);
});

test('whatever is put in, the parser answers with a profile or with faults', () => {
  const { accepted, dropped } = fuzzProfile(500, 11);
  assert.ok(accepted > 25 && dropped > 150, `${String(accepted)} accepted, ${String(dropped)} refused`);
});
