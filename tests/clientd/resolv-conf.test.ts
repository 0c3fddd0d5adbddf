/** /etc/resolv.conf is given back exactly: whatever it was, whoever writes it meanwhile, wherever the machine died. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, mkdtempSync, readFileSync, readlinkSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs'; // prettier-ignore
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { ResolvConf } from '@sallyport/clientd';

let folder = '';
let path = '';
let record = '';
const open: ResolvConf[] = [];
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-names-'));
  path = join(folder, 'resolv.conf');
  record = join(folder, 'saved');
});
afterEach(async () => {
  for (const one of open.splice(0)) await one.restore();
  rmSync(folder, { recursive: true });
});

/** Another one is what a daemon finds that is started after a crash. */
function conf(): ResolvConf {
  const made = new ResolvConf(path, record, () => undefined);
  open.push(made);
  return made;
}

const OURS = 'nameserver 10.77.0.1\n';
const odd = Buffer.from([0x6e, 0, 0xff, 0xfe, 0x0a, 0x0d]);

async function eventually(what: string, holds: () => boolean): Promise<void> {
  for (let i = 0; i < 3000; i++) {
    if (holds()) return;
    await delay(20);
  }
  assert.fail(what);
}

test('a file comes back byte by byte, with its mode', async () => {
  writeFileSync(path, odd);
  chmodSync(path, 0o640);
  await conf().set(OURS);
  assert.equal(readFileSync(path, 'utf8'), OURS);
  await conf().set('nameserver 10.77.0.2\n');
  await conf().restore();
  assert.deepEqual(readFileSync(path), odd);
  assert.equal(statSync(path).mode & 0o777, 0o640);
  assert.equal(existsSync(record), false);
});

test('a symbolic link comes back, and what it led to was never touched', async () => {
  writeFileSync(join(folder, 'stub'), 'nameserver 127.0.0.53\n');
  symlinkSync('stub', path);
  await conf().set(OURS);
  assert.ok(lstatSync(path).isFile());
  assert.equal(readFileSync(join(folder, 'stub'), 'utf8'), 'nameserver 127.0.0.53\n');
  await conf().restore();
  assert.equal(readlinkSync(path), 'stub');
});

test('a link that leads nowhere, and no file at all, come back too', async () => {
  await conf().set(OURS);
  await conf().restore();
  assert.equal(existsSync(path), false);
  symlinkSync('nowhere', path);
  await conf().set(OURS);
  await conf().restore();
  assert.equal(readlinkSync(path), 'nowhere');
});

test('what somebody else writes meanwhile is replaced again, and is what comes back', async () => {
  writeFileSync(path, 'nameserver 192.0.2.1\n');
  const one = conf();
  await one.set(OURS);
  for (const text of ['nameserver 192.0.2.2\n', 'nameserver 192.0.2.3\n']) {
    writeFileSync(join(folder, 'dhcp'), text);
    renameSync(join(folder, 'dhcp'), path);
    await eventually('ours again', () => readFileSync(path, 'utf8') === OURS);
  }
  writeFileSync(path, 'nameserver 192.0.2.4\n');
  await eventually('ours again, after it was written in place', () => readFileSync(path, 'utf8') === OURS);
  await one.restore();
  assert.equal(readFileSync(path, 'utf8'), 'nameserver 192.0.2.4\n');
  await delay(150);
  assert.equal(readFileSync(path, 'utf8'), 'nameserver 192.0.2.4\n', 'nobody looks any more');
});

test('a file that is mounted there is written in place: beside it may be what another daemon is about to rename', async () => {
  const mounted = join(folder, 'of this namespace');
  const others = `${path}.sallyport`;
  writeFileSync(mounted, odd);
  writeFileSync(path, 'nameserver 192.0.2.1\n');
  writeFileSync(others, 'nameserver 10.78.0.1\n');
  // The folder's own name is no matter.
  symlinkSync(folder, `${folder}\\ link`);
  execFileSync('mount', ['--bind', mounted, path]);
  try {
    const one = new ResolvConf(join(`${folder}\\ link`, 'resolv.conf'), record, () => undefined);
    await one.set(OURS);
    assert.equal(readFileSync(mounted, 'utf8'), OURS);
    assert.equal(readFileSync(others, 'utf8'), 'nameserver 10.78.0.1\n');
    await one.restore();
    assert.deepEqual(readFileSync(mounted), odd);
    assert.equal(readFileSync(others, 'utf8'), 'nameserver 10.78.0.1\n');
  } finally {
    execFileSync('umount', [path]);
    rmSync(`${folder}\\ link`);
  }
  assert.equal(readFileSync(path, 'utf8'), 'nameserver 192.0.2.1\n');
});

test('died at any byte of a write in place, or before the first', async () => {
  const before = 'nameserver 192.0.2.1\noptions edns0\n';
  for (let length = 0; length <= OURS.length; length++) {
    writeFileSync(path, before);
    const one = new ResolvConf(path, record, () => undefined);
    await one.set(OURS);
    const saved = readFileSync(record);
    await one.restore();
    // As it lies on the disk when the machine dies in the middle.
    writeFileSync(record, saved);
    writeFileSync(path, OURS.slice(0, length));
    await conf().restore();
    assert.equal(readFileSync(path, 'utf8'), before, String(length));
    // And in the middle of the way back.
    writeFileSync(record, saved);
    writeFileSync(path, before.slice(0, length));
    await conf().restore();
    assert.equal(readFileSync(path, 'utf8'), before, String(length));
    // What somebody else wrote while no daemon ran is left.
    writeFileSync(record, saved);
    writeFileSync(path, 'nameserver 192.0.2.9\n');
    await conf().restore();
    assert.equal(readFileSync(path, 'utf8'), 'nameserver 192.0.2.9\n');
    // After the record, before the file.
    writeFileSync(record, saved);
    writeFileSync(path, before);
    await conf().restore();
    assert.equal(readFileSync(path, 'utf8'), before);
    assert.equal(existsSync(record), false);
  }
});
