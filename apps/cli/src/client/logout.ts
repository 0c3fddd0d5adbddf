import type { Command } from '../command.ts';
import { CommandFailure, EXIT_NOT_PERMITTED, EXIT_UNAVAILABLE, EXIT_USAGE, tell } from '../command.ts';
import { readCredentials } from '../service/credentials.ts';
import { ask } from './daemon.ts';
import { printable } from './terminal.ts';

export const logout: Command = {
  name: 'logout',
  usage: '[--client|--api] [--json]',
  summary: 'log this machine’s client out, or the command line',
  help: `Logs the client out where it is logged in: disconnects it, removes the device from your account and forgets its keys.
Where it isn't, or this machine has none, ends the command line's own session (that of "login --user") at the service
and removes it from this machine.

Options:
  --client  the client alone
  --api     the command line's session alone
  --json    print JSON: the client's status, or else "loggedOut": whether the command line was logged in

Examples:
  sallyport logout
  sallyport logout --api`,
  options: ['client', 'api', 'json'],
  arguments: [0, 0],
  async run(words, options, values) {
    if (options.has('client') && options.has('api'))
      throw new CommandFailure(EXIT_USAGE, 'give one of --client and --api');
    if (!options.has('api') && (options.has('client') || (await clientIsLoggedIn()))) {
      const status = await ask('logout', {});
      if (options.has('json')) process.stdout.write(`${JSON.stringify(status, undefined, 2)}\n`);
      else {
        const other = options.has('client') || readCredentials() === undefined ? '' : '; the command line is still logged in: sallyport logout --api'; // prettier-ignore
        tell(`the client is logged out${other}`);
        if (status.message !== '') tell(`but ${printable(status.message)}`);
      }
      return 0;
    }
    const { logout: fromService } = await import('../service/login.ts');
    if (!options.has('json')) return fromService.run(words, options, values);
    const loggedOut = readCredentials() !== undefined;
    const code = loggedOut ? await fromService.run(words, options, values) : 0;
    process.stdout.write(`${JSON.stringify({ loggedOut })}\n`);
    return code;
  },
};

/** A machine without the daemon, or a user who may not use it, has no client to log out. */
async function clientIsLoggedIn(): Promise<boolean> {
  try {
    return (await ask('status', {}, { silenceMs: 3000 })).account !== null;
  } catch (error) {
    if (error instanceof CommandFailure && [EXIT_UNAVAILABLE, EXIT_NOT_PERMITTED].includes(error.exitCode))
      return false;
    throw error;
  }
}
