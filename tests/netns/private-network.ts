// A network namespace of the test process's own, which goes with it: system calls made here happen there.
import { execFileSync } from 'node:child_process';
import { errno, SystemCallError } from '@sallyport/io';
import koffi from 'koffi';

const CLONE_NEWNET = 0x40000000;

/** Moves this thread, and the programs that it starts, into a new namespace with loopback up. */
export function enterPrivateNetwork(): void {
  const unshare = koffi.load('libc.so.6').func('int unshare(int flags)') as unknown as (flags: number) => number;
  if (unshare(CLONE_NEWNET) !== 0) throw new SystemCallError('make a network namespace (root is needed)', errno());
  ip('link set lo up');
}

/** Runs `ip` with these arguments and returns what it prints. */
export function ip(args: string): string {
  return execFileSync('ip', args.split(' '), { encoding: 'utf8', stdio: 'pipe' });
}
