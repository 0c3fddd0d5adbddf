import { spawn } from 'node:child_process';
import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/** A system program could not be run, or failed. `stderr` is what it said. */
export class CommandError extends Error {
  readonly code: 'notFound' | 'failed' | 'interrupted';
  /** The program and its arguments, as a person would write them. */
  readonly command: string;
  readonly exitCode: number | null;
  readonly stderr: string;

  constructor(
    code: CommandError['code'],
    command: string,
    exitCode: number | null,
    stderr: string,
    options?: ErrorOptions,
  ) {
    super(describe(code, command, exitCode, stderr), options);
    this.name = 'CommandError';
    this.code = code;
    this.command = command;
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

function describe(code: CommandError['code'], command: string, exitCode: number | null, stderr: string): string {
  if (code === 'notFound') return `the program "${command.split(' ')[0] ?? command}" is not installed`;
  if (code === 'interrupted') return `"${command}" was interrupted`;
  const said = stderr.trim();
  return `"${command}" failed with exit code ${String(exitCode)}${said === '' ? '' : `: ${said}`}`;
}

export interface RunOptions {
  /** What the program reads from its standard input; nothing where absent. */
  readonly input?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** System programs are looked for here too: root's PATH lacks these folders after some ways of becoming root. */
const SYSTEM_FOLDERS = ['/usr/local/sbin', '/usr/sbin', '/sbin'];
const MAX_OUTPUT_LENGTH = 64 * 1024 * 1024;
const MAX_STDERR_LENGTH = 4096;

/** The PATH that programs run with. */
export function systemPath(): string {
  const path = (process.env['PATH'] ?? '/usr/local/bin:/usr/bin:/bin').split(delimiter);
  return [...path, ...SYSTEM_FOLDERS.filter((folder) => !path.includes(folder))].join(delimiter);
}

/** The full path of a program, or undefined where it is not installed. */
export function findProgram(name: string): string | undefined {
  const candidates = name.includes('/')
    ? [name]
    : systemPath()
        .split(delimiter)
        .map((folder) => join(folder, name));
  return candidates.find((path) => {
    try {
      accessSync(path, constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/** Runs a program, without a shell, and returns its standard output. Throws {@link CommandError}. */
export function run(program: string, args: readonly string[], options: RunOptions = {}): Promise<string> {
  const command = formatCommand(program, args);
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, {
      env: { ...process.env, PATH: systemPath(), LC_ALL: 'C' },
      stdio: ['pipe', 'pipe', 'pipe'],
      ...(options.signal === undefined ? {} : { signal: options.signal }),
    });
    const output: Buffer[] = [];
    let length = 0;
    let stderr = '';
    child.stdout.on('data', (chunk: Buffer) => {
      length += chunk.length;
      if (length > MAX_OUTPUT_LENGTH) child.kill();
      else output.push(chunk);
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr = (stderr + text).slice(0, MAX_STDERR_LENGTH);
    });
    child.on('error', (error: NodeJS.ErrnoException) => {
      const code = error.code === 'ENOENT' ? 'notFound' : error.name === 'AbortError' ? 'interrupted' : 'failed';
      reject(new CommandError(code, command, null, code === 'failed' ? error.message : stderr, { cause: error }));
    });
    child.on('close', (exitCode) => {
      if (exitCode === 0) resolve(Buffer.concat(output).toString());
      else reject(new CommandError('failed', command, exitCode, stderr));
    });
    // A program that ends without reading its input is judged by its exit code.
    child.stdin.on('error', () => undefined);
    child.stdin.end(options.input ?? '');
  });
}

/** Runs the system programs that look at the network's configuration and change it, and tells each change. */
export class CommandRunner {
  readonly #tell: (line: string) => void;

  /** `tell` gets each changing command as a person would write it. */
  constructor(tell: (line: string) => void) {
    this.#tell = tell;
  }

  /** Tells of a change that is made without a program. */
  tell(line: string): void {
    this.#tell(line);
  }

  /** Runs a program that changes something. Its arguments are told: they never hold a secret. */
  async change(program: string, args: readonly string[], options?: RunOptions): Promise<void> {
    this.#tell(formatCommand(program, args));
    await run(program, args, options);
  }

  /** Runs a program whose changes were told line by line. */
  async runQuietly(program: string, args: readonly string[], options?: RunOptions): Promise<void> {
    await run(program, args, options);
  }

  /** Runs a program that changes nothing, and returns its output. */
  query(program: string, args: readonly string[]): Promise<string> {
    return run(program, args);
  }
}

function formatCommand(program: string, args: readonly string[]): string {
  return [program, ...args].map((word) => (/^[\w@%+=:,./~-]+$/.test(word) ? word : JSON.stringify(word))).join(' ');
}
