/** The commands that run a part of the service on this machine; apps/server has what they do. */
import {
  checkConfiguration,
  ConfigurationError,
  defaultConfiguration,
  effectiveConfiguration,
  GATEWAY_JOIN_HELP,
  joinGateway,
  runGateway,
  SERVER_HELP,
  serverCommand,
} from '@sallyport/server';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_BAD_INPUT, EXIT_NO_INPUT, EXIT_USAGE } from '../command.ts';

/** A command whose options and help are its own. */
function outside(
  name: string,
  usage: string,
  summary: string,
  help: string,
  runWords: (argv: readonly string[]) => Promise<number>,
): Command {
  return {
    name,
    usage,
    summary,
    help,
    options: [],
    arguments: [0, 0],
    runWords,
    run: () => runWords([]),
  };
}

export const server = outside(
  'server',
  '[OPTION...]',
  'run the service on this machine: control plane and gateway',
  SERVER_HELP,
  (argv) => serverCommand(argv),
);

export const gatewayJoin = outside(
  'gateway join',
  'URL - [OPTION...]',
  'make this machine a gateway of a service, and run it',
  GATEWAY_JOIN_HELP,
  joinGateway,
);

export const gatewayRun = outside(
  'gateway run',
  '[OPTION...]',
  'run the gateway that this machine joined as',
  SERVER_HELP,
  runGateway,
);

export const configCheck: Command = {
  name: 'config check',
  usage: '[FILE]',
  summary: "check the server's configuration file",
  help: `Names every fault with its line and the remedy. Without FILE it checks /etc/sallyport/sallyport.toml.

Example:
  sallyport config check ./sallyport.toml`,
  options: [],
  arguments: [0, 1],
  run: ([file]) => Promise.resolve(checkConfiguration(file)),
};

export const configShow: Command = {
  name: 'config show',
  usage: '[--default] [FILE]',
  summary: "print the server's configuration: what is in force, or a file with every key explained",
  help: `Prints what is in force, defaults included, as JSON.

Options:
  --default  print a whole configuration file instead, with every key explained

Examples:
  sallyport config show
  sallyport config show --default > sallyport.toml`,
  options: ['default'],
  arguments: [0, 1],
  run([file], options) {
    if (options.has('default') && file !== undefined)
      throw new CommandFailure(EXIT_USAGE, '--default takes no file: what it prints is the same everywhere');
    try {
      process.stdout.write(options.has('default') ? defaultConfiguration() : `${effectiveConfiguration(file)}\n`);
    } catch (error) {
      if (!(error instanceof ConfigurationError)) throw error;
      throw new CommandFailure(error.code === 'unreadable' ? EXIT_NO_INPUT : EXIT_BAD_INPUT, error.message, {
        cause: error,
      });
    }
    return Promise.resolve(0);
  },
};
