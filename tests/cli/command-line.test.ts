import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { privateKey, publicKey } from './files.ts';

const program = fileURLToPath(new URL('../../bin/sallyport', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'sallyport-cli-'));

after(() => {
  rmSync(folder, { recursive: true });
});

function run(args: readonly string[], input = '', uid?: number) {
  return spawnSync(program, args, { encoding: 'utf8', input, ...(uid === undefined ? {} : { uid }) });
}

function wg(args: readonly string[], input = ''): string {
  const { status, stdout, stderr } = spawnSync('wg', args, { encoding: 'utf8', input });
  assert.equal(status, 0, stderr);
  return stdout;
}

test('genkey makes clamped keys, all different, and pubkey agrees with wg on them', () => {
  const keys = Array.from({ length: 3 }, () => run(['genkey']).stdout);
  assert.equal(new Set(keys).size, 3);
  for (const key of [...keys, wg(['genkey']), `${privateKey}\n`]) {
    assert.match(key, /^[A-Za-z0-9+/]{43}=\n$/);
    const bytes = Buffer.from(key, 'base64');
    assert.equal(bytes.length, 32);
    const ours = run(['pubkey'], key);
    assert.equal(ours.status, 0, ours.stderr);
    assert.equal(ours.stdout, wg(['pubkey'], key));
  }
  for (const key of keys) {
    const bytes = Buffer.from(key, 'base64');
    assert.equal((bytes[0] ?? 0) & 7, 0);
    assert.equal((bytes[31] ?? 0) >> 6, 1);
  }
});

test('pubkey clamps as wg does', () => {
  const unclamped = `${Buffer.alloc(32, 0xff).toString('base64')}\n`;
  assert.equal(run(['pubkey'], unclamped).stdout, wg(['pubkey'], unclamped));
});

test('genpsk makes keys that wg takes', () => {
  const { stdout } = run(['genpsk']);
  assert.match(stdout, /^[A-Za-z0-9+/]{43}=\n$/);
  assert.notEqual(stdout, run(['genpsk']).stdout);
  assert.equal(Buffer.from(wg(['pubkey'], stdout), 'base64').length, 32);
});

test('pubkey refuses what is no key, without showing it', () => {
  for (const input of [
    '',
    '\n',
    'nonsense\n',
    privateKey.slice(1),
    `${privateKey}x`,
    ` ${privateKey}`,
    privateKey.repeat(100),
  ]) {
    const { status, stdout, stderr } = run(['pubkey'], input);
    assert.equal(status, 65, input);
    assert.equal(stdout, '');
    assert.equal(
      stderr,
      'sallyport: the standard input is not a private key; it has to be the 44 characters that "sallyport genkey" prints\n',
    );
  }
});

test('a key that goes to a file that everyone can read is warned of', () => {
  for (const command of ['genkey', 'genpsk']) {
    for (const [mode, warned] of [
      [0o644, true],
      [0o600, false],
    ] as const) {
      const path = join(folder, `${command}-${mode}`);
      const mask = process.umask(0);
      const file = openSync(path, 'w', mode);
      process.umask(mask);
      const { stderr } = spawnSync(program, [command], { encoding: 'utf8', stdio: ['ignore', file, 'pipe'] });
      closeSync(file);
      assert.equal(/^Warning: the key goes to a file that everyone can read/.test(stderr), warned, stderr);
      assert.match(readFileSync(path, 'utf8'), /^[A-Za-z0-9+/]{43}=\n$/);
    }
  }
});

test('help and version', () => {
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8')) as {
    version: string;
  };
  assert.equal(run(['--version']).stdout, `sallyport ${version}\n`);
  const overview = run(['--help']);
  assert.equal(overview.status, 0);
  const all = [...overview.stdout.matchAll(/^ {2}([a-z][a-z -]*[a-z]) {2,}\S/gm)].map((match) => match[1] ?? '');
  // Those that work on this machine come first; the service's own are tested in service-commands.test.ts.
  const names = all.slice(0, all.indexOf('me show'));
  assert.deepEqual(names, [
    ...[
      'login',
      'logout',
      'connect',
      'disconnect',
      'status',
      'regions',
      'set',
      'doctor',
      'leaktest',
      'outside',
      'daemon',
    ],
    ...['wg up', 'wg down', 'wg status', 'wg device', 'openvpn up', 'openvpn down', 'openvpn status'],
    ...['server', 'gateway join', 'gateway run'],
    ...['config check', 'config show', 'backup', 'restore', 'setup', 'invitation accept'],
    ...['device new', 'profile openvpn', 'genkey', 'pubkey', 'genpsk', 'man', 'completion'],
  ]);
  assert.equal(run(['help']).stdout, overview.stdout);
  for (const name of names) {
    const help = run([...name.split(' '), '--help']);
    assert.equal(help.status, 0);
    const title = name === 'gateway run' ? 'server' : name;
    assert.ok(help.stdout.startsWith(`Usage: sallyport ${title}`), help.stdout);
    assert.match(help.stdout, /\nExamples?:/);
    assert.match(help.stdout, /\nExit codes:\n/);
    // Each start costs; `help` finds a command by the names that are compared above, whichever it is.
    if (name === 'genkey' || name === 'wg up') assert.equal(run(['help', ...name.split(' ')]).stdout, help.stdout);
    for (const line of help.stdout.split('\n')) assert.ok(line.length <= 120, line);
  }
  assert.match(run(['wg', '--help']).stdout, /^Usage: sallyport wg COMMAND/);
});

const wrong: readonly (readonly [readonly string[], RegExp])[] = [
  [[], /^Usage: sallyport COMMAND/],
  [['wg'], /^Usage: sallyport wg COMMAND/],
  [['genky'], /^sallyport: unknown command "genky"; did you mean "sallyport genkey"\?\n$/],
  [['wg', 'pu'], /^sallyport: unknown command "wg pu"; did you mean "sallyport wg up"\?\n$/],
  [['frobnicate'], /^sallyport: unknown command "frobnicate"; see: sallyport --help\n$/],
  [['--verison'], /^sallyport: unknown option "--verison"; did you mean "sallyport --version"\?\n$/],
  [['wg', 'up', '--forground', 'x'], /^sallyport: unknown option --forground; did you mean --foreground\?\nUsage: /],
  [['wg', 'status', '--json=yes'], /^sallyport: the option --json takes no value\nUsage: /],
  [['genkey', '-x'], /^sallyport: unknown option -x\nUsage: sallyport genkey\n$/],
  [['wg', 'up'], /^sallyport: an argument is missing\nUsage: /],
  [['wg', 'down', 'a', 'b'], /^sallyport: one argument too many: "b"\nUsage: /],
  [['wg', 'up', '/tmp/wg0'], /^sallyport: "\/tmp\/wg0" names no interface; /],
  [
    ['wg', 'up', '/tmp/much-too-long-a-name.conf'],
    /^sallyport: "\/tmp\/much-too-long-a-name.conf" names no interface; /,
  ],
  [['wg', 'device', 'no/name'], /^sallyport: "no\/name" can't be an interface's name/],
  [['help', 'nothing'], /^sallyport: unknown command "nothing"/],
];

for (const [args, message] of wrong) {
  test(`"sallyport ${args.join(' ')}" is a wrong command line`, () => {
    const { status, stdout, stderr } = run(args);
    assert.equal(status, 64);
    assert.equal(stdout, '');
    assert.match(stderr, message);
  });
}

test('a configuration that is not there, or no file, has an exit code of its own', () => {
  assert.equal(run(['wg', 'up', 'nosuchtunnel']).status, 66);
  assert.match(
    run(['wg', 'up', 'nosuchtunnel']).stderr,
    /neither \/etc\/sallyport\/nosuchtunnel.conf nor \/etc\/wireguard\//,
  );
  assert.match(run(['wg', 'up', join(folder, 'none.conf')]).stderr, /none.conf: there is no such file\n$/);
});

test('faults are printed with file and line, for editors to follow', () => {
  const file = join(folder, 'faulty.conf');
  writeFileSync(
    file,
    `[Interface]\nPrivateKey = ${privateKey}\n\n[Peer]\nPublicKey = ${publicKey}\n\nAllowedIPs = 10.0.0.0/33\nEndpoint = x\n`,
    { mode: 0o600 },
  );
  const { status, stderr } = run(['wg', 'up', file]);
  assert.equal(status, 65);
  assert.equal(
    stderr,
    `${file}:7: AllowedIPs: "10.0.0.0/33" has a prefix longer than 32; write 10.0.0.0/32 or shorter\n` +
      `${file}:8: Endpoint: "x" has no port; write x:51820\n`,
  );
});

test('who is not root is told so', { skip: process.getuid?.() === 0 ? false : 'needs root to become nobody' }, () => {
  const nobody = 65534;
  // The checkout may lie where nobody may not look.
  if (run(['--version'], '', nobody).status !== 0) return;
  const { status, stderr } = run(['wg', 'status'], '', nobody);
  assert.equal(status, 77);
  assert.equal(stderr, 'sallyport: only root may do this; run: sudo sallyport wg status\n');
});
