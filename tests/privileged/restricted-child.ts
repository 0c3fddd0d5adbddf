/** A process as the gateway's or the control plane's: it starts as root, gives that up, and says what it still can do. */
import { execFileSync } from 'node:child_process';
import { openSync, readFileSync, writeFileSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { dropPrivileges, inheritedStream, readConfiguration } from '@sallyport/privileged';

const { configuration, parentGone } = await readConfiguration();
const { uid, gid, rootFile, rootPid, secret } = configuration as Record<string, unknown> & {
  uid: number;
  gid: number;
  rootFile: string;
  rootPid: number;
};
void parentGone.then(() => process.exit(0));

const idle = 'setInterval(() => undefined, 1000)';
const started = (worker: Worker): Promise<unknown> => new Promise((resolve) => worker.once('online', resolve));
await started(new Worker(idle, { eval: true }));

const couldBefore = attempt(() => readFileSync('/proc/1/environ').length >= 0);
dropPrivileges(uid, gid);
await started(new Worker(idle, { eval: true }));

/** `yes`, or the error's code. */
function attempt(action: () => unknown): string {
  try {
    action();
    return 'yes';
  } catch (error) {
    const { code, status } = error as { code?: string; status?: number };
    return code ?? `status ${String(status)}`;
  }
}

const report = {
  secretArrived: secret === 'only on the pipe',
  couldBefore,
  writeRootFile: attempt(() => writeFileSync(rootFile, 'x')),
  readRootFile: attempt(() => readFileSync(rootFile)),
  makeTun: attempt(() => execFileSync('ip', ['tuntap', 'add', 'dev', 'spriv0', 'mode', 'tun'], { stdio: 'ignore' })),
  signalRoot: attempt(() => process.kill(rootPid, 0)),
  becomeRoot: attempt(() => process.setuid?.(0)),
  joinRootGroup: attempt(() => process.setgid?.(0)),
  setGroups: attempt(() => process.setgroups?.([0])),
  // What a setuid program of root's would see.
  setuidProgram: execFileSync(process.argv[2] ?? '', ['-u'], { encoding: 'utf8' }).trim(),
  readOwnMemory: attempt(() => openSync('/proc/self/mem', 'r')),
  environment: Object.keys(process.env).sort(),
};
const stream = inheritedStream(3);
stream.write(`${JSON.stringify(report)}\n`);
