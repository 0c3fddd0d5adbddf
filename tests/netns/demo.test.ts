import assert from 'node:assert/strict';
import { execFile, spawn, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { resolve } from 'node:path';
import { test } from 'node:test';
import { promisify } from 'node:util';
import { until } from '@sallyport/netlab';

const main = resolve(import.meta.dirname, '../../demo/main.ts');
const execute = promisify(execFile);

interface TunnelFacts {
  readonly [name: string]: unknown;
  readonly otherPackets: readonly string[];
  readonly faults: readonly string[];
  readonly packetsOnWire: number;
  readonly plaintextPiecesBehindGateway: number;
  readonly plaintextPiecesSearched: number;
  readonly throughputBitsPerSecond: number;
  readonly uploadBitsPerSecond: number;
  readonly visits: readonly { readonly url: string; readonly status: number; readonly tls: string | null }[];
}

/** What a run of the demonstration with this process identifier may have left on the machine. */
function leftovers(pid: number): string[] {
  const lines = (argv: [string, ...string[]]) =>
    spawnSync(argv[0], argv.slice(1), { encoding: 'utf8' }).stdout.split('\n');
  const namespaces = lines(['ip', 'netns', 'list']).filter((line) => line.startsWith(`sp-${String(pid)}`));
  const processes = lines(['ps', '-eo', 'args']).filter((line) => line.includes(`sp-${String(pid)}`));
  const interfaceName = `sp${pid.toString(36)}w`;
  const interfaces = lines(['ip', '-brief', 'link']).filter((line) => line.startsWith(interfaceName));
  const devices = lines(['ps', '-eo', 'args']).filter((line) => line.includes(interfaceName));
  const sockets = (() => {
    try {
      return readdirSync('/var/run/wireguard').filter((name) => name.startsWith(interfaceName));
    } catch {
      return [];
    }
  })();
  return [...namespaces, ...processes, ...interfaces, ...devices, ...sockets];
}

function temporaryFolders(): string[] {
  return readdirSync(tmpdir()).filter((name) => name.startsWith('sallyport-'));
}

test('the tunnel demonstration tells what happened', async () => {
  const { stdout } = await execute(process.execPath, [main, 'tunnel', '--json']);
  const facts = JSON.parse(stdout) as TunnelFacts;
  assert.deepEqual(facts.faults, []);
  assert.equal(facts['scenario'], 'tunnel');
  for (const family of ['Ipv4', 'Ipv6']) {
    assert.equal(facts[`destinationSaw${family}`], facts[`gateway${family}`]);
    assert.notEqual(facts[`destinationSaw${family}`], facts[`client${family}`]);
    assert.match(String(facts[`gateway${family}`]), family === 'Ipv4' ? /^\d+(\.\d+){3}$/ : /^[0-9a-f:]+$/);
  }
  assert.equal(facts['plaintextOnWire'], false);
  assert.ok(
    facts.plaintextPiecesBehindGateway > facts.plaintextPiecesSearched / 2,
    'the search finds nothing anywhere',
  );
  assert.ok(facts.packetsOnWire >= 20);
  assert.deepEqual(facts.otherPackets, []);
  assert.ok(facts.throughputBitsPerSecond > 10e6);
  assert.ok(facts.uploadBitsPerSecond > 10e6);
  assert.deepEqual(
    facts.visits.map(({ status, tls }) => ({ status, encrypted: tls !== null })),
    [false, true, false, true].map((encrypted) => ({ status: 200, encrypted })),
  );
});

for (const moment of ['Tunnel between', 'Download'] as const) {
  test(`interrupted twice after '${moment}', it leaves nothing behind`, async () => {
    const folders = temporaryFolders();
    const demo = spawn(process.execPath, [main], { stdio: ['ignore', 'ignore', 'pipe'] });
    const ended = new Promise<number | null>((resolve) => demo.once('close', resolve));
    const pid = demo.pid ?? assert.fail('the demonstration did not start');
    let progress = '';
    for await (const text of demo.stderr.setEncoding('utf8') as AsyncIterable<string>) {
      progress += text;
      if (progress.includes(moment) && !demo.killed) {
        assert.notDeepEqual(leftovers(pid), [], 'the check would not see anything');
        demo.kill('SIGINT');
        setTimeout(() => demo.kill('SIGINT'), 50);
      }
    }
    assert.equal(await ended, 130, progress);
    // What was killed at the last takes a moment to be gone.
    const left = (): string[] => [...leftovers(pid), ...temporaryFolders().filter((name) => !folders.includes(name))];
    await until('nothing is left', () => left().length === 0).catch(() => assert.deepEqual(left(), []));
  });
}

test('without root it says what is needed', async () => {
  // Another user who may still read the checkout, wherever it lies.
  const capability = ['--inh-caps=+dac_read_search', '--ambient-caps=+dac_read_search'];
  const argv = ['--reuid=65534', '--clear-groups', ...capability, process.execPath, main];
  const [refused] = await Promise.allSettled([execute('setpriv', argv, { cwd: '/' })]);
  assert.equal(refused.status, 'rejected');
  assert.match(String((refused.reason as { stderr?: string }).stderr), /needs? root/);
});

test('an unknown scenario is refused with the list of those that exist', async () => {
  const [refused] = await Promise.allSettled([execute(process.execPath, [main, 'nothing'])]);
  assert.equal(refused.status, 'rejected');
  assert.match(String((refused.reason as { stderr?: string }).stderr), /no scenario 'nothing'.*tunnel/);
});
