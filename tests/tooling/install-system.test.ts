import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterEach, beforeEach, describe, test } from 'node:test';

/** The script looks into the sbin folders of the system, so what it finds there is left out by taking its own copy. */
const script = readFileSync(resolve(import.meta.dirname, '../../scripts/install-system'), 'utf8').replace(
  /^PATH=.*$/m,
  '',
);

describe('scripts/install-system', () => {
  let folder: string;
  let log: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'sallyport-system-'));
    log = join(folder, 'log');
    place('cat', 'while IFS= read -r line; do echo "$line"; done');
  });
  afterEach(() => {
    rmSync(folder, { recursive: true });
  });

  function place(name: string, body = ''): void {
    writeFileSync(join(folder, name), `#!/bin/sh\n${body}\n`);
    chmodSync(join(folder, name), 0o755);
  }

  function install(...args: string[]): { status: number | null; stdout: string; stderr: string } {
    const options = { env: { PATH: folder }, encoding: 'utf8' } as const;
    return spawnSync('/bin/sh', ['-c', script, 'install-system', ...args], options);
  }

  /** An apt-get that logs its calls, and whose `install` fails until `update` has been called where `stale` is set. */
  function placeAptGet({ stale }: { stale: boolean }): void {
    const program = (name: string): string => `echo '#!/bin/sh' >${folder}/${name}; /bin/chmod +x ${folder}/${name}`;
    place(
      'apt-get',
      `echo "$DEBIAN_FRONTEND $*" >>${log}
      case $1 in
        update) : >${folder}/updated ;;
        install) ${stale ? `[ -e ${folder}/updated ] || exit 100` : ''}
          for package; do case $package in nftables) ${program('nft')} ;; iproute2) ${program('ip')} ;; util-linux) ${program('setpriv')} ;; esac; done ;;
      esac`,
    );
  }

  test('says and does nothing when nothing is missing', () => {
    for (const name of ['ip', 'nft', 'setpriv']) place(name);
    placeAptGet({ stale: false });
    const { status, stdout, stderr } = install('--run');
    assert.deepEqual({ status, stdout, stderr }, { status: 0, stdout: '', stderr: '' });
    assert.equal(existsSync(log), false);
  });

  test('installs what is missing, and only that', () => {
    for (const name of ['ip', 'setpriv']) place(name);
    place('id', 'echo 0');
    placeAptGet({ stale: false });
    const { status, stdout } = install('--run');
    assert.equal(status, 0);
    assert.equal(stdout, '');
    assert.equal(readFileSync(log, 'utf8'), 'noninteractive install -y -q --no-install-recommends nftables\n');
  });

  test('renews the package lists when they are stale', () => {
    place('id', 'echo 0');
    placeAptGet({ stale: true });
    assert.equal(install('--run').status, 0);
    const calls = readFileSync(log, 'utf8')
      .split('\n')
      .map((line) => line.split(' ')[1]);
    assert.deepEqual(calls, ['install', 'update', 'install', undefined]);
  });

  test('names the programs and the command when it is not root', () => {
    for (const name of ['ip', 'setpriv']) place(name);
    place('id', 'echo 1000');
    placeAptGet({ stale: false });
    const { status, stderr } = install('--run');
    assert.equal(status, 1);
    assert.match(stderr, /^Missing system programs: nft \(installing them takes root\)\./);
    assert.match(stderr, /sudo apt-get install -y --no-install-recommends nftables\n/);
    assert.equal(existsSync(log), false);
  });

  test('names the programs where there is no apt-get', () => {
    const { status, stderr } = install();
    assert.equal(status, 1);
    assert.match(
      stderr,
      /^Missing system programs: ip nft setpriv curl .* wg wireguard-go zbarimg \(this system has no apt-get\)/,
    );
  });

  test('fails when a package does not bring its program', () => {
    place('id', 'echo 0');
    place('apt-get');
    const { status, stderr } = install('--run');
    assert.equal(status, 1);
    assert.match(stderr, /Missing system programs: ip nft setpriv \(/);
  });

  test('refuses what it does not know', () => {
    assert.equal(install('--everything').status, 64);
    assert.equal(install('--run', '--demo').status, 64);
    assert.match(install('--help').stdout, /^Usage: scripts\/install-system/);
  });
});
