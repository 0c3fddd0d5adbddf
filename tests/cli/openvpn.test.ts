import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, suite, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetworkSettings, ProfileRoute } from '@sallyport/openvpn';
import { decodeScrv1 } from '@sallyport/openvpn';
import { Credentials } from '../../apps/cli/src/openvpn/credentials.ts';
import { plainWords, type Interaction } from '../../apps/cli/src/openvpn/interaction.ts';
import { interfaceNameOf, loadProfile } from '../../apps/cli/src/openvpn/load.ts';
import { covers, planNetwork } from '../../apps/cli/src/openvpn/network-plan.ts';
import { privateKeyOf } from '../../apps/cli/src/openvpn/prepare.ts';
import { beginningOf, isRunning } from '../../apps/cli/src/openvpn/record.ts';
import { serverCheck } from '../../apps/cli/src/openvpn/server-check.ts';
import { loginUrl } from '../../apps/cli/src/openvpn/tunnel.ts';
import { TestAuthority } from '../openvpn/authority.ts';
import { block, CERTIFICATE, KEY, LEAST, parsed } from '../openvpn/profile-files.ts';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-openvpn-'));
after(() => {
  rmSync(folder, { recursive: true });
});

suite('a profile on the disk', () => {
  test('gives the interface its name', () => {
    assert.equal(interfaceNameOf('/etc/openvpn/client/office.ovpn'), 'office');
    assert.equal(interfaceNameOf('office'), 'office');
    assert.equal(interfaceNameOf('./Alice @ vpn.example.com.ovpn'), 'Alice-vpn.examp');
    assert.equal(interfaceNameOf('x.conf'), 'x');
    assert.throws(() => interfaceNameOf('.ovpn'), /names no interface/);
  });

  test('may name files of its own folder, and no others', () => {
    const own = join(folder, 'own');
    mkdirSync(join(own, 'keys'), { recursive: true });
    writeFileSync(join(folder, 'outside.crt'), CERTIFICATE);
    writeFileSync(join(own, 'keys', 'ca.crt'), CERTIFICATE);
    symlinkSync(join(folder, 'outside.crt'), join(own, 'link.crt'));
    const file = join(own, 'office.ovpn');
    const withCa = (path: string): string => {
      writeFileSync(file, LEAST.replace(block('ca', CERTIFICATE), `ca ${path}\n`), { mode: 0o600 });
      return file;
    };
    assert.equal(loadProfile(withCa('keys/ca.crt')).profile.authority, CERTIFICATE);
    assert.equal(loadProfile(withCa(join(own, 'keys/ca.crt'))).profile.authority, CERTIFICATE);
    for (const path of ['../outside.crt', join(folder, 'outside.crt'), 'link.crt', '/etc/shadow', 'keys']) {
      assert.throws(() => loadProfile(withCa(path)), /office\.ovpn:4: ca: the file .* can't be read; put it beside/);
    }
    assert.throws(() => loadProfile(join(own, 'none.ovpn')), /there is no such file/);
  });
});

suite('the routes of a profile', () => {
  const route = (prefix: string, gateway = 'vpn'): ProfileRoute => ({
    prefix,
    family: prefix.includes(':') ? 6 : 4,
    gateway,
    metric: undefined,
  });
  const settings = (more: Partial<NetworkSettings>): NetworkSettings => ({
    ipv4: '10.8.0.2/24',
    ipv4Peer: undefined,
    ipv6: 'fd08::2/64',
    routes: [],
    defaults: [],
    blockIpv6: false,
    blockLocal: false,
    routeMetric: undefined,
    dnsServers: [],
    dnsSearch: [],
    tunMtu: undefined,
    mssfix: undefined,
    ...more,
  });

  test('two halves are a default route, and so is one of length 0', () => {
    const halves = planNetwork(settings({ routes: ['0.0.0.0/1', '128.0.0.0/1', '10.0.0.0/8', '::/0'].map((prefix) => route(prefix)) }), '192.0.2.1'); // prettier-ignore
    assert.deepEqual(halves.defaults, [4, 6]);
    assert.deepEqual(halves.routes.map(({ prefix }) => prefix), ['10.0.0.0/8']); // prettier-ignore
    const half = planNetwork(settings({ routes: [route('0.0.0.0/1')] }), '192.0.2.1');
    assert.deepEqual([half.defaults, half.routes.length, half.serverWithin], [[], 1, false]);
    assert.equal(planNetwork(settings({ routes: [route('128.0.0.0/1')] }), '192.0.2.1').serverWithin, true);
    assert.equal(planNetwork(settings({ routes: [route('192.0.2.0/24', 'net')] }), '192.0.2.1').serverWithin, false);
  });

  test('IPv6 does not pass beside a tunnel that was to carry it and can not', () => {
    const none = { ipv6: undefined };
    const wanted = planNetwork(settings({ ...none, defaults: [4, 6], routes: [route('2001:db8::/32')] }), '192.0.2.1');
    assert.deepEqual([wanted.defaults, wanted.blockIpv6, wanted.routes], [[4], true, []]);
    assert.equal(planNetwork(settings({ ...none, defaults: [4] }), '192.0.2.1').blockIpv6, false);
    assert.equal(planNetwork(settings({ ...none, blockIpv6: true }), '192.0.2.1').blockIpv6, true);
    assert.equal(planNetwork(settings({ blockIpv6: true }), '192.0.2.1').blockIpv6, false);
  });

  test('what covers an address', () => {
    assert.equal(covers('192.0.2.0/24', '192.0.2.9'), true);
    assert.equal(covers('192.0.2.0/24', '192.0.3.9'), false);
    assert.equal(covers('0.0.0.0/0', '2001:db8::1'), false);
    assert.equal(covers('2001:db8::/32', '2001:db8::1'), true);
  });
});

test('the server has to be the one that the profile means', async () => {
  const authority = await TestAuthority.make();
  const server = await authority.issue('vpn 1+one', { usage: 'server' });
  const client = await authority.issue('alice', { usage: 'client' });
  const check = (lines: string, { certificate } = server): string | undefined =>
    serverCheck(parsed(LEAST + lines))(new X509Certificate(certificate));
  assert.equal(check(''), undefined);
  assert.match(check('', client) ?? '', /not one for servers/);
  assert.equal(check('verify-x509-name "vpn 1+one" name'), undefined);
  assert.equal(check('verify-x509-name "CN=vpn 1+one"'), undefined);
  assert.equal(check('verify-x509-name vpn name-prefix'), undefined);
  for (const line of ['vpn name', 'the name-prefix', 'CN=vpn', '\'vpn, the "first"\'']) {
    assert.match(check(`verify-x509-name ${line}`) ?? '', /another name/);
  }
  assert.equal(check(`peer-fingerprint ${server.sha256}`), undefined);
  assert.match(check(`peer-fingerprint ${client.sha256}`) ?? '', /peer-fingerprint/);
});

test('what a server says is shown without what would move the cursor, and an address only where it is one', () => {
  assert.equal(plainWords('a\u001b[2Jb\r\nc\u202ed'), 'a [2Jb c d');
  assert.equal(plainWords('x'.repeat(900)).length, 500);
  assert.equal(loginUrl('WEB_AUTH::https://login.example/x'), 'https://login.example/x');
  assert.equal(loginUrl('WEB_AUTH:proxy=1,hidden:https://login.example/x'), 'https://login.example/x');
  assert.equal(loginUrl('OPEN_URL:http://login.example'), 'http://login.example');
  for (const text of ['OPEN_URL:file:///etc/passwd', 'OPEN_URL:https://x y', 'WEB_AUTH::javascript:1', 'https://x']) {
    assert.equal(loginUrl(text), undefined);
  }
});

suite('who the user is', () => {
  const asked: string[] = [];
  const answers: string[] = [];
  const interaction: Interaction = {
    ask: (question, secret) => {
      asked.push(`${question}${secret ? ' (hidden)' : ''}`);
      return Promise.resolve(answers.shift() ?? '');
    },
    tell: () => undefined,
    up: () => undefined,
  };

  test('is asked once; a code each time; a token stands for both until it is refused', async () => {
    const credentials = new Credentials(
      parsed(`${LEAST}auth-user-pass\nstatic-challenge "code?" 1\n`),
      interaction,
      undefined,
    );
    answers.push('alice', 'secret', '111', '222');
    await credentials.prepare();
    const shown = decodeScrv1(credentials.current?.password.reveal() ?? '');
    assert.ok(typeof shown === 'object');
    assert.deepEqual([shown.password.reveal(), shown.response.reveal()], ['secret', '111']);
    await credentials.prepare();
    assert.deepEqual(asked.splice(0), ['User name', 'Password (hidden)', 'code?', 'code?']);
    const { password } = credentials.current ?? {};
    assert.ok(password !== undefined);
    credentials.takeToken(undefined, password);
    await credentials.prepare();
    assert.deepEqual([asked.splice(0), credentials.hasToken, credentials.current?.userName], [[], true, 'alice']);
    credentials.forgetToken();
    await credentials.prepare();
    assert.deepEqual(asked.splice(0), ['code?']);
  });

  test('the answer to a question of the server is shown until the server has looked at it', async () => {
    const login = join(folder, 'login');
    writeFileSync(login, 'alice\nsecret\n');
    const credentials = new Credentials(parsed(`${LEAST}auth-user-pass\n`), interaction, login);
    await credentials.prepare();
    answers.push('42');
    const question = { state: 's7', userName: '', text: 'Your \u001bcode?', echo: false, responseRequired: true };
    await credentials.answer(question);
    for (let i = 0; i < 2; i++) {
      await credentials.prepare();
      assert.equal(credentials.current?.password.reveal(), 'CRV1::s7::42');
    }
    credentials.spendAnswer();
    await credentials.prepare();
    assert.equal(credentials.current?.password.reveal(), 'secret');
    assert.deepEqual(asked.splice(0), ['Your  code? (hidden)']);
    assert.throws(() => new Credentials(parsed(LEAST), interaction, join(folder, 'none')), /--auth-file: /);
  });
});

test('the key of a profile may have a password', async () => {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const asking = (answer: string): Interaction => ({
    ask: () => Promise.resolve(answer),
    tell: () => undefined,
    up: () => undefined,
  });
  const passphrase = 'open sesame';
  const encrypted = privateKey.export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase });
  const older = privateKey.export({ type: 'sec1', format: 'pem', cipher: 'aes-256-cbc', passphrase });
  for (const key of [encrypted, older]) {
    const profile = parsed(LEAST.replace(block('key', KEY), block('key', key)));
    const opened = await privateKeyOf(profile, asking(passphrase));
    assert.equal(opened?.reveal(), privateKey.export({ type: 'pkcs8', format: 'pem' }));
    await assert.rejects(privateKeyOf(profile, asking('x')), /the password does not open the private key/);
  }
  assert.equal((await privateKeyOf(parsed(LEAST), asking('x')))?.reveal(), KEY);
});

test('a process is told from a later one with its number', () => {
  const began = beginningOf(process.pid);
  const record = { pid: process.pid, began: began ?? '', profile: '', mark: 1, undo: { ip: [], filter: false } };
  assert.equal(isRunning(record), true);
  assert.equal(isRunning({ ...record, began: '1' }), false);
  assert.equal(beginningOf(2 ** 22 + 1), undefined);
});

test('a process that has ended does not run, though nobody has taken note of its end', async () => {
  // The shell becomes a program that does not ask after the child that it had.
  const parent = spawn('sh', ['-c', 'sleep 0.1 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
  try {
    const [line] = (await once(parent.stdout.setEncoding('utf8'), 'data')) as [string];
    const stat = `/proc/${line.trim()}/stat`;
    while (!/\) Z /.test(readFileSync(stat, 'utf8'))) await sleep(5);
    assert.equal(beginningOf(Number(line)), undefined);
  } finally {
    parent.kill('SIGKILL');
  }
});
