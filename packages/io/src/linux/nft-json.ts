import { writeSync } from 'node:fs';
import { errno, libc, SystemCallError } from '../libc.ts';
import type { CommandRunner } from './run.ts';

const MFD_CLOEXEC = 1;

/**
 * Applies commands of nft's JSON language (libnftables-json(5)) in one transaction: all of them or none. Throws a
 * CommandError with what nft said.
 */
export async function applyNftJson(runner: CommandRunner, commands: readonly object[]): Promise<void> {
  runner.tell('nft -j -f -');
  // nft opens its JSON input by name, which works neither with "-" nor with /dev/stdin where that is a socket, as
  // between Node and its children. So it is a file in memory, under the name that it has by this process.
  const fd = libc.memfdCreate('nft', MFD_CLOEXEC);
  if (fd < 0) throw new SystemCallError('create a file in memory', errno());
  try {
    const text = Buffer.from(JSON.stringify({ nftables: commands }));
    for (let written = 0; written < text.length; ) written += writeSync(fd, text, written);
    await runner.runQuietly('nft', ['-j', '-f', `/proc/${String(process.pid)}/fd/${String(fd)}`]);
  } finally {
    libc.close(fd);
  }
}

/** A table's chains, rules and sets as text, without the sets' elements and counters; undefined where it is missing. */
export async function describeNftTable(
  runner: CommandRunner,
  family: string,
  table: string,
): Promise<string | undefined> {
  try {
    return await runner.query('nft', ['--stateless', '--terse', 'list', 'table', family, table]);
  } catch {
    return undefined;
  }
}
