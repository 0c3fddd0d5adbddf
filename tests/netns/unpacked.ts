/** Programs that scripts/unpack-peers has unpacked, or scripts/install-system built, in the user's cache folder. */
import { homedir } from 'node:os';
import { join } from 'node:path';
import { CommandError, describeExit, until, type Process } from '@sallyport/netlab';

export function unpacked(...path: readonly string[]): string {
  return join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sallyport', ...path);
}

/** Until the program prints this. */
export async function printed(program: Process, sign: string): Promise<void> {
  await until(program.argv.join(' '), () => {
    if (program.exit !== undefined) throw new CommandError(program.argv, describeExit(program.exit), program.stderr);
    return program.stdout.includes(sign);
  });
}
