import { spawn } from 'node:child_process';
import { once } from 'node:events';
import type { Command } from '../command.ts';
import { manPage } from './man-page.ts';
import { commandText } from './option-table.ts';

export const man: Command = {
  name: 'man',
  usage: '',
  summary: 'show the manual',
  help: `Shows the manual of all commands by man(1); not at a terminal it prints its source, for a package to install as
sallyport.1.

Examples:
  sallyport man
  sallyport man > /usr/local/share/man/man1/sallyport.1`,
  options: [],
  arguments: [0, 0],
  async run() {
    const { loadAllCommands, version } = await import('../command-list.ts');
    const page = manPage((await loadAllCommands()).map(commandText), version());
    if (!process.stdout.isTTY || !(await show(page))) process.stdout.write(page);
    return 0;
  },
};

/** Answers false where there is no man(1) that can. */
async function show(page: string): Promise<boolean> {
  const child = spawn('man', ['-l', '-'], { stdio: ['pipe', 'inherit', 'ignore'] });
  child.on('error', () => undefined);
  child.stdin.on('error', () => undefined);
  child.stdin.end(page);
  const [status] = (await Promise.race([once(child, 'close'), once(child, 'error')]).catch(() => [1])) as [unknown];
  return status === 0;
}
