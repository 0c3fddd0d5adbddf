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
  await give(runner, commands, []);
}

/** Whether nft and the kernel would take the commands; nothing is changed. Throws like {@link applyNftJson}. */
export async function checkNftJson(runner: CommandRunner, commands: readonly object[]): Promise<void> {
  await give(runner, commands, ['--check']);
}

async function give(runner: CommandRunner, commands: readonly object[], options: readonly string[]): Promise<void> {
  // nft opens its JSON input by name, which works neither with "-" nor with /dev/stdin where that is a socket, as
  // between Node and its children. So it is a file in memory, under the name that it has by this process.
  const fd = libc.memfdCreate('nft', MFD_CLOEXEC);
  if (fd < 0) throw new SystemCallError('create a file in memory', errno());
  try {
    const text = Buffer.from(JSON.stringify({ nftables: commands }));
    for (let written = 0; written < text.length;) written += writeSync(fd, text, written);
    await runner.runQuietly('nft', ['-j', ...options, '-f', `/proc/${String(process.pid)}/fd/${String(fd)}`]);
  } finally {
    libc.close(fd);
  }
}

/** A chain of any table. */
export interface NftChain {
  readonly family: string;
  readonly table: string;
  readonly name: string;
  /** Where the kernel enters it, and what becomes of a packet at its end; absent for chains that others jump to. */
  readonly hook?: string;
  readonly policy?: string;
}

/** The chains of all tables. This costs little, since nft looks neither at rules nor at sets. */
export async function listNftChains(runner: CommandRunner): Promise<NftChain[]> {
  const { nftables } = JSON.parse(await runner.query('nft', ['-j', 'list', 'chains'])) as {
    nftables: { chain?: NftChain }[];
  };
  return nftables.flatMap(({ chain }) => chain ?? []);
}
