/** One command of `sallyport`, for main.ts to find, explain and run. */
export interface Command {
  /** The words that call it: `wg up`. */
  readonly name: string;
  /** Its arguments, as usage shows them. */
  readonly usage: string;
  readonly summary: string;
  /** What it does, options, examples: what `--help` prints below the usage. */
  readonly help: string;
  /** Its options that are switches, without their hyphens. */
  readonly options: readonly string[];
  /** Its options that take a value. */
  readonly valued?: readonly string[];
  /** How many arguments it takes, at least and at most. */
  readonly arguments: readonly [number, number];
  /** Takes the words as they come, with its own options, rather than {@link run}; its help is whole as it is. */
  readonly runWords?: (argv: readonly string[]) => Promise<number>;
  /** Does the work and returns the exit code. */
  run(args: readonly string[], options: ReadonlySet<string>, values: OptionValues): Promise<number>;
}

/** What options with a value were given: each as often as it was. */
export type OptionValues = ReadonlyMap<string, readonly string[]>;

/** Exit codes, those of sysexits.h where it has one. */
export const EXIT_FAILED = 1;
export const EXIT_USAGE = 64;
export const EXIT_BAD_INPUT = 65;
export const EXIT_NO_INPUT = 66;
export const EXIT_UNAVAILABLE = 69;
export const EXIT_TEMPORARY = 75;
export const EXIT_NOT_PERMITTED = 77;

export const EXIT_CODES = `Exit codes:
  0   done
  1   the operation failed; whatever it had begun was undone
  64  the command line is wrong
  65  the configuration file, or what was read, is faulty
  66  the configuration file, or a login, is not there or can't be read
  69  the service can't be reached
  75  there is no connection yet; the client goes on trying
  77  not permitted: only root may do this, or the service refuses it`;

/** Ends a command with a message for the person who called it. */
export class CommandFailure extends Error {
  readonly exitCode: number;

  constructor(exitCode: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CommandFailure';
    this.exitCode = exitCode;
  }
}

/** The faults of a file, a line each, every one with its place: printed as they are, for editors to find. */
export class FileFaults extends CommandFailure {
  constructor(faults: readonly string[]) {
    super(EXIT_BAD_INPUT, faults.join('\n'));
    this.name = 'FileFaults';
  }
}

/** Interfaces are changed by root alone: say so before anything is tried. */
export function requireRoot(command: string): void {
  if (process.geteuid?.() === 0) return;
  throw new CommandFailure(EXIT_NOT_PERMITTED, `only root may do this; run: sudo sallyport ${command}`);
}

export function tell(line: string): void {
  process.stderr.write(`${line}\n`);
}
