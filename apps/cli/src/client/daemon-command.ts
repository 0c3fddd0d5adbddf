import { fileURLToPath } from 'node:url';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_CODES, EXIT_FAILED, EXIT_USAGE, requireRoot, tell } from '../command.ts';

const usage = '[OPTION...] | lockdown';

export const daemon: Command = {
  name: 'daemon',
  usage,
  summary: 'run the client’s daemon in the foreground, as systemd does',
  help: `Usage: sallyport daemon ${usage}

Runs the daemon that the client's commands speak to, until it is ended (SIGTERM). It is root's, and does what takes
root: interfaces, routes, the packet filter, name servers. It takes over what one before it left; ended, it leaves
nothing behind but the rules that block, where a tunnel with kill switch is wanted or lockdown is on.

"lockdown" only puts those rules in force, and ends: for boot, before there is a network (sallyport-lockdown.service).

Options:
  --state-folder PATH  what it remembers (default /var/lib/sallyport-client)
  --run-folder PATH    what a boot may forget (default /run/sallyport-client)
  --socket PATH        where commands reach it (default: socket in the run folder)
  --log-level LEVEL    debug, info, warn or error

Examples:
  sudo systemctl enable --now sallyport-client
  sudo sallyport daemon --log-level debug

${EXIT_CODES}`,
  options: [],
  arguments: [0, Infinity],
  async runWords(argv) {
    if (argv[0] === '--help' || argv[0] === '-h') {
      process.stdout.write(`${daemon.help}\n`);
      return 0;
    }
    requireRoot(`daemon ${argv.join(' ')}`.trimEnd());
    if (argv[0] === 'lockdown') return lockDown(argv);
    const main = fileURLToPath(new URL('main.ts', import.meta.resolve('@sallyport/clientd')));
    // It takes this process's place: who started it watches that one.
    process.execve?.(process.execPath, [process.execPath, ...process.execArgv, main, ...argv], process.env);
    throw new CommandFailure(EXIT_FAILED, 'the daemon can’t be started by this version of Node');
  },
  run: () => Promise.resolve(EXIT_USAGE),
};

async function lockDown(argv: readonly string[]): Promise<number> {
  if (argv.length > 1) throw new CommandFailure(EXIT_USAGE, `one argument too many: "${argv[1] ?? ''}"`);
  const { lockDownAtBoot } = await import('./boot-lockdown.ts');
  const blocks = await lockDownAtBoot();
  tell(blocks ? 'everything is blocked until the client’s daemon opens a way' : 'nothing is to be blocked');
  return 0;
}
