/** Which processes the daemon lets go beside the tunnel. */
import assert from 'node:assert/strict';
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { test } from 'node:test';
import { DaemonFailure, letOutside } from '@sallyport/clientd';

const isRoot = process.getuid?.() === 0;

function group(): { readonly added: number[]; readonly cgroup: never } {
  const added: number[] = [];
  return { added, cgroup: { add: (pid: number) => added.push(pid) } as never };
}

function sleeper(uid?: number): ChildProcess & { readonly pid: number } {
  return spawn('sleep', ['60'], { stdio: 'ignore', ...(uid === undefined ? {} : { uid }) }) as ChildProcess & { readonly pid: number }; // prettier-ignore
}

const refusedAs = (code: string) => (error: unknown) => error instanceof DaemonFailure && error.code === code;

test('its owner and root let a process out, nobody else', { skip: isRoot ? false : 'takes root' }, async () => {
  const child = sleeper(65_534);
  try {
    const to = group();
    await letOutside(child.pid, { uid: 65_534, pid: 1 }, () => Promise.resolve(to));
    await letOutside(child.pid, { uid: 0, pid: 1 }, () => Promise.resolve(to));
    for (const caller of [{ uid: 1000, pid: 1 }, undefined])
      await assert.rejects(
        letOutside(child.pid, caller, () => Promise.resolve(to)),
        refusedAs('notPermitted'),
      );
    assert.deepEqual(to.added, [child.pid, child.pid]);
    await assert.rejects(
      letOutside(2 ** 30, { uid: 0, pid: 1 }, () => Promise.resolve(to)),
      refusedAs('badRequest'),
    );
  } finally {
    child.kill();
  }
});

test('a process that ended while the group was made is not taken for another one of its number', async () => {
  const child = sleeper();
  const to = group();
  const caller = { uid: process.getuid?.() ?? 0, pid: 1 };
  const letting = letOutside(child.pid, caller, async () => {
    child.kill('SIGKILL');
    await once(child, 'exit');
    return to;
  });
  await assert.rejects(letting, refusedAs('badRequest'));
  assert.deepEqual(to.added, []);
});
