import { accessSync, constants, statSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_CODES, EXIT_NOT_PERMITTED, EXIT_NO_INPUT, EXIT_USAGE } from '../command.ts';
import { ask } from './daemon.ts';

const usage = 'COMMAND [ARGUMENT...]';

export const outside: Command = {
  name: 'outside',
  usage,
  summary: 'run a command beside the tunnel',
  help: `Usage: sallyport outside ${usage}

Runs a command, with all that it starts, whose traffic goes beside the tunnel: by your own network, with your own
address. Whatever it asks of name servers outside the tunnel stays blocked; names are asked inside. A program that is
running already is not affected, and one that hands its work to it (as browsers do that are open) isn't either.

Examples:
  sallyport outside curl https://printer.example/
  sallyport outside firefox --no-remote -P streaming

${EXIT_CODES}
  The command's own exit code, once it runs.`,
  options: [],
  arguments: [1, Infinity],
  async runWords(argv) {
    const [first, ...rest] = argv;
    if (first === '--help' || first === '-h') {
      process.stdout.write(`${outside.help}\n`);
      return 0;
    }
    const [name, args] = first === '--' ? [rest[0], rest.slice(1)] : [first, rest];
    if (name === undefined || name === '') throw new CommandFailure(EXIT_USAGE, `an argument is missing\nUsage: sallyport outside ${usage}`); // prettier-ignore
    if (first?.startsWith('-') && first !== '--')
      throw new CommandFailure(EXIT_USAGE, `unknown option ${first}\nUsage: sallyport outside ${usage}`);
    const file = findProgram(name);
    // This very process goes outside, and the command takes its place.
    await ask('outside', { pid: process.pid });
    process.execve?.(file, [name, ...args], process.env);
    throw new CommandFailure(EXIT_NO_INPUT, `${file} can't be run`);
  },
  run: () => Promise.resolve(EXIT_USAGE),
};

/** As a shell finds it. */
function findProgram(name: string): string {
  const candidates = name.includes('/')
    ? [name]
    : (process.env['PATH'] ?? '').split(delimiter).map((folder) => join(folder === '' ? '.' : folder, name));
  let forbidden = false;
  for (const file of candidates) {
    try {
      if (!statSync(file).isFile()) continue;
      accessSync(file, constants.X_OK);
      return file;
    } catch (error) {
      forbidden ||= (error as NodeJS.ErrnoException).code === 'EACCES';
    }
  }
  if (forbidden) throw new CommandFailure(EXIT_NOT_PERMITTED, `${name}: you may not run it`);
  throw new CommandFailure(EXIT_NO_INPUT, `${name}: there is no such command`);
}
