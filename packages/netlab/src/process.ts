import { spawn, type ChildProcess } from 'node:child_process';

/** A program as an argument list: the command and what comes before the arguments that a caller adds. */
export interface Program {
  readonly command: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

export interface StartOptions {
  /** Added to this process's environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Written to standard input, which is then closed. */
  readonly input?: string;
}

export interface ProcessExit {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** An exit in words. */
export function describeExit({ code, signal }: ProcessExit): string {
  return signal === null ? `exit code ${String(code)}` : `killed by ${signal}`;
}

/** A command ended with another exit code than 0, or not in time. */
export class CommandError extends Error {
  readonly code = 'COMMAND_FAILED';
  readonly stderr: string;

  constructor(argv: readonly string[], how: string, stderr: string) {
    super(`${argv.join(' ')}: ${how}${stderr.trim() === '' ? '' : `: ${stderr.trim().slice(-2000)}`}`);
    this.stderr = stderr;
  }
}

// A process keeps this much of each output; a benchmark's report is a few KiB.
const outputLimit = 16 << 20;

/**
 * For what is certain to come, if late on a machine that is full or slow: who proves that something comes soon says so.
 */
export const PATIENCE_MS = 120_000;

/**
 * One child in a process group of its own, so that a terminal's Ctrl-C reaches only the laboratory, which then ends its
 * children in order.
 */
export class Process {
  readonly argv: readonly string[];
  readonly pid: number;
  /** Settles when the process has ended and its outputs are closed; never rejects. */
  readonly exited: Promise<ProcessExit>;
  exit: ProcessExit | undefined;
  stdout = '';
  stderr = '';
  readonly #child: ChildProcess;

  private constructor(argv: readonly string[], child: ChildProcess, pid: number) {
    this.argv = argv;
    this.pid = pid;
    this.#child = child;
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      if (this.stdout.length < outputLimit) this.stdout += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      if (this.stderr.length < outputLimit) this.stderr += text;
    });
    this.exited = new Promise((resolve) => {
      child.once('close', (code, signal) => {
        this.exit = { code, signal };
        resolve(this.exit);
      });
    });
  }

  /** @throws CommandError when the program can't be started. */
  static async start(argv: readonly string[], options: StartOptions = {}): Promise<Process> {
    const child = spawn(argv[0] ?? '', argv.slice(1), {
      detached: true,
      stdio: [options.input === undefined ? 'ignore' : 'pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...options.env },
    });
    // Without a process identifier the program wasn't found or may not be run: 'error' says which.
    if (child.pid === undefined) {
      const error = await new Promise<Error>((resolve) => child.once('error', resolve));
      throw new CommandError(argv, error.message, '');
    }
    child.on('error', () => undefined);
    const started = new Process(argv, child, child.pid);
    // A program that ends before it has read all of its input isn't a fault by itself: its exit code tells.
    child.stdin?.on('error', () => undefined).end(options.input);
    return started;
  }

  /** Sends a signal to this process alone. */
  signal(signal: NodeJS.Signals): void {
    if (this.exit === undefined) this.#child.kill(signal);
  }

  /** Sends a signal to the process and all of its children that stayed in its group. */
  signalGroup(signal: NodeJS.Signals): void {
    try {
      process.kill(-this.pid, signal);
    } catch {
      // It has ended.
    }
  }

  /** Ends the group: `signal` first, and after `graceMs` SIGKILL. */
  async stop(signal: NodeJS.Signals = 'SIGTERM', graceMs = 30_000): Promise<void> {
    if (this.exit !== undefined) return;
    this.signalGroup(signal);
    const timer = setTimeout(() => this.signalGroup('SIGKILL'), graceMs);
    await this.exited;
    clearTimeout(timer);
  }

  /** Waits for the end. @throws CommandError after `timeoutMs`, when the process has been killed. */
  async end(timeoutMs = PATIENCE_MS): Promise<ProcessExit> {
    let late = false;
    const timer = setTimeout(() => {
      late = true;
      this.signalGroup('SIGKILL');
    }, timeoutMs);
    const exit = await this.exited;
    clearTimeout(timer);
    if (late) throw new CommandError(this.argv, `not done after ${String(timeoutMs / 1000)} s`, this.stderr);
    return exit;
  }
}

/**
 * The result of `run`, which is repeated where it doesn't hold, up to so many times in all: for what a machine that is full
 * may miss once.
 */
export async function upTo<T>(times: number, run: () => Promise<T>, holds: (result: T) => boolean): Promise<T> {
  for (let tries = 1; ; tries++) {
    const result = await run();
    if (tries === times || holds(result)) return result;
  }
}

/**
 * Polls `probe` until it gives something other than undefined or false.
 * @throws Error that names `what` after `timeoutMs`.
 */
export async function until<T>(
  what: string,
  probe: () => Promise<T | undefined | false> | T | undefined | false,
  timeoutMs = PATIENCE_MS,
  intervalMs = 20,
): Promise<T> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    const value = await probe();
    if (value !== undefined && value !== false) return value;
    if (performance.now() > deadline) throw new Error(`${what}: not within ${String(timeoutMs / 1000)} s`);
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
}
