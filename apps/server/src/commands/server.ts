import { ConfigurationError } from '../config/read.ts';
import { parseServerArguments, SERVER_HELP, UsageError } from '../server-arguments.ts';
import type { Override } from '../config/read.ts';
import { runServer } from '../supervisor.ts';
import { version } from '../version.ts';

const EXIT_USAGE = 64;
const EXIT_BAD_INPUT = 65;
const EXIT_NO_INPUT = 66;

/** `sallyport server`: runs until it is told to stop. `more` are keys that the caller sets. Returns the exit code. */
export async function serverCommand(argv: readonly string[], more: readonly Override[] = []): Promise<number> {
  try {
    const call = parseServerArguments(argv, more);
    if (call.kind !== 'run') {
      process.stdout.write(`${call.kind === 'help' ? SERVER_HELP : `sallyport ${version()}`}\n`);
      return 0;
    }
    return await runServer(call.configuration, {
      json: call.json,
      print: (text) => void process.stdout.write(`${text}\n`),
    });
  } catch (error) {
    if (error instanceof UsageError) {
      process.stderr.write(`sallyport server: ${error.message}\n`);
      return EXIT_USAGE;
    }
    if (error instanceof ConfigurationError) {
      process.stderr.write(`${error.message}\n`);
      return error.code === 'unreadable' ? EXIT_NO_INPUT : EXIT_BAD_INPUT;
    }
    throw error;
  }
}
