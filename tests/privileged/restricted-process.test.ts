import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { excessPrivileges, processPrivileges, startRestricted } from '@sallyport/privileged';
import type { RestrictedProcess, ThreadPrivileges } from '@sallyport/privileged';

const isRoot = process.getuid?.() === 0;
const skip = isRoot ? false : 'root is needed';
const CHILD = fileURLToPath(new URL('./restricted-child.ts', import.meta.url));
const UID = 62_001;
const GID = 62_002;
const CAP_SETGID = 1n << 6n;
const CAP_SETUID = 1n << 7n;

let folder: string;
let running: RestrictedProcess | undefined;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'sallyport-privileged-'));
  chmodSync(folder, 0o755);
  writeFileSync(join(folder, 'root-file'), 'secret', { mode: 0o600 });
  // A program of root's that runs as root whoever starts it.
  copyFileSync('/usr/bin/id', join(folder, 'setuid-id'));
  if (isRoot) chmodSync(join(folder, 'setuid-id'), 0o4755);
});

after(() => {
  running?.child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

test('a restricted process has nothing left, in none of its threads, and gets nothing back', { skip }, async () => {
  running = startRestricted({
    module: CHILD,
    capabilities: ['setuid', 'setgid'],
    configuration: {
      uid: UID,
      gid: GID,
      rootFile: join(folder, 'root-file'),
      rootPid: process.pid,
      secret: 'only on the pipe',
    },
    streams: ['pipe'],
    environment: { SALLYPORT_TEST: 'yes' },
    arguments: [join(folder, 'setuid-id')],
  });
  const [stream] = running.streams;
  assert.ok(stream);
  const lines = createInterface({ input: stream });
  const [line] = (await Promise.race([
    once(lines, 'line'),
    running.ended.then((how) => assert.fail(`the child ended: ${how}`)),
  ])) as [string];
  assert.deepEqual(JSON.parse(line), {
    secretArrived: true,
    couldBefore: 'EACCES',
    writeRootFile: 'EACCES',
    readRootFile: 'EACCES',
    makeTun: 'status 1',
    signalRoot: 'EPERM',
    becomeRoot: 'EPERM',
    joinRootGroup: 'EPERM',
    setGroups: 'EPERM',
    setuidProgram: String(UID),
    readOwnMemory: 'EACCES',
    environment: ['PATH', 'SALLYPORT_TEST'],
  });

  const pid = running.child.pid ?? 0;
  const threads = processPrivileges(pid);
  // The main thread, two workers, and those of the pool and of V8.
  assert.ok(threads.length >= 6, `${String(threads.length)} threads`);
  for (const thread of threads) {
    assert.deepEqual(excessPrivileges(thread, UID, GID), []);
    assert.equal(thread.bounding, CAP_SETGID | CAP_SETUID);
    assert.deepEqual(thread.supplementaryGroups, []);
  }
  assert.doesNotMatch(readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8'), /only on the pipe/);

  const ended = running.ended;
  running.child.stdin?.end();
  assert.equal(await ended, 'exit code 0', 'it ends with the one that started it');
});

test('the check tells what is too much', { skip }, () => {
  const [own] = processPrivileges('self') as [ThreadPrivileges];
  const excess = excessPrivileges(own, UID, GID).join('\n');
  for (const what of [/user ids 0 0 0 0/, /group ids/, /permitted capabilities/, /effective/, /setuid program/])
    assert.match(excess, what);
});

test('a process that can not give its privileges up fails', { skip }, async () => {
  // Without CAP_SETUID it can't; and without no_new_privs it must not believe that it has.
  const program = `import { dropPrivileges } from '@sallyport/privileged'; dropPrivileges(${String(UID)}, ${String(GID)});`;
  for (const [argv, message] of [
    [['--no-new-privs', '--bounding-set=-all,+setgid'], /EPERM/],
    [['--bounding-set=-all,+setgid,+setuid'], /could gain privileges by a setuid program/],
  ] as const) {
    const node = [process.execPath, '--input-type=module', '--eval', program];
    const child = spawn('setpriv', [...argv, '--', ...node], { cwd: fileURLToPath(new URL('../..', import.meta.url)) });
    let stderr = '';
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    const [code] = (await once(child, 'close')) as [number];
    assert.notEqual(code, 0);
    assert.match(stderr, message);
  }
});

test('it dies with a parent that is killed', { skip }, async () => {
  const program = `
    import { startRestricted } from '@sallyport/privileged';
    const started = startRestricted({ module: ${JSON.stringify(CHILD)}, capabilities: ['setuid', 'setgid'], streams: ['pipe'],
      configuration: { uid: ${String(UID)}, gid: ${String(GID)}, rootFile: '/', rootPid: 1 },
      arguments: [${JSON.stringify(join(folder, 'setuid-id'))}] });
    started.streams[0].on('data', () => console.log(started.child.pid));`;
  const parent = spawn(process.execPath, ['--input-type=module', '--eval', program], {
    cwd: fileURLToPath(new URL('../..', import.meta.url)),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [text] = (await once(parent.stdout, 'data')) as [Buffer];
  const pid = Number(text.toString());
  assert.ok(processPrivileges(pid).length > 0);
  parent.kill('SIGKILL');
  while (isAlive(pid)) await new Promise((resolve) => setTimeout(resolve, 20));
});

function isAlive(pid: number): boolean {
  try {
    return !/State:\s+Z/.test(readFileSync(`/proc/${String(pid)}/status`, 'utf8'));
  } catch {
    return false;
  }
}
