import { spawn } from 'node:child_process';
import type { ChildProcess, StdioOptions } from 'node:child_process';
import { Socket } from 'node:net';
import type { Duplex, Readable } from 'node:stream';
import { systemPath } from '@sallyport/io';

/** Node's switches for a process that parses what others send. */
const HARDENING = [
  // Nobody reaches a prototype by a key that came in with data.
  '--disable-proto=throw',
  // SIGUSR1 would open the debugger.
  '--disable-sigusr1',
];

export interface RestrictedProcessOptions {
  /** The path of the module that it runs. */
  readonly module: string;
  /** What it may still do as root, until it gives that up: names of capabilities(7) without `cap_`. */
  readonly capabilities: readonly string[];
  /** The module's arguments; everybody on the machine can read them. */
  readonly arguments?: readonly string[] | undefined;
  /**
   * Anything that JSON can hold, or the promise of it: the process loads its program meanwhile, and is killed where the
   * promise is broken. It goes over a pipe, so that nobody sees it in the list of processes.
   */
  readonly configuration: unknown;
  /**
   * From file descriptor 3 on: `pipe` is a new stream to this process, a stream is handed on to the child, `ipc` is
   * Node's channel for messages (child_process).
   */
  readonly streams?: readonly ('pipe' | 'ipc' | Socket)[] | undefined;
  /** Standard output and error: handed on by default. */
  readonly output?: 'inherit' | 'pipe' | undefined;
  /** All that its environment holds, besides PATH. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
  /** Further switches of Node's. */
  readonly nodeOptions?: readonly string[] | undefined;
  /** The Node to run; this process's own by default. */
  readonly node?: string | undefined;
}

export interface RestrictedProcess {
  readonly child: ChildProcess;
  /** This process's ends of the streams that were asked for as `pipe`, by their place in `streams`. */
  readonly streams: readonly (Socket | undefined)[];
  /** Settles when it has ended: `exit code 1`, `SIGKILL`, or why it didn't start. */
  readonly ended: Promise<string>;
}

/**
 * Starts a module as root without the privileges that it doesn't need, and without a way to new ones. It reads its
 * configuration with {@link readConfiguration} and gives up the rest with `dropPrivileges`. It ends with this process:
 * killed by the kernel as long as it is root (the kernel forgets that when the user changes), then by the end of its
 * standard input.
 */
export function startRestricted(options: RestrictedProcessOptions): RestrictedProcess {
  for (const name of options.capabilities)
    if (!/^[a-z_]+$/.test(name)) throw new Error(`"${name}" is not the name of a capability`);
  const wanted = options.streams ?? [];
  const output = options.output ?? 'inherit';
  const child = spawn(
    'setpriv',
    [
      '--no-new-privs',
      '--inh-caps=-all',
      '--ambient-caps=-all',
      `--bounding-set=${['-all', ...options.capabilities.map((name) => `+${name}`)].join(',')}`,
      '--clear-groups',
      '--pdeathsig=KILL',
      '--',
      options.node ?? process.execPath,
      ...HARDENING,
      ...(options.nodeOptions ?? []),
      options.module,
      ...(options.arguments ?? []),
    ],
    {
      env: { ...options.environment, PATH: systemPath() },
      stdio: ['pipe', output, output, ...wanted] as StdioOptions,
    },
  );
  // The child has its own copy of what was handed on; with ours open, its end would never be seen.
  for (const stream of wanted) if (stream instanceof Socket) stream.destroy();
  const stdin = child.stdio[0];
  // A child that ends early is told of by `ended`. The pipe stays open: its end means that this process is gone.
  stdin?.on('error', () => undefined);
  Promise.resolve(options.configuration).then(
    (configuration) => stdin?.write(`${JSON.stringify(configuration)}\n`),
    () => child.kill('SIGKILL'),
  );
  const ended = new Promise<string>((resolve) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      const missing = error.code === 'ENOENT';
      resolve(missing ? 'the program "setpriv" is not installed: install the package "util-linux"' : error.message);
    });
    child.on('exit', (code, signal) => resolve(signal ?? `exit code ${String(code)}`));
  });
  return {
    child,
    streams: wanted.map((kind, i) => (kind === 'pipe' ? (child.stdio[i + 3] as Socket) : undefined)),
    ended,
  };
}

const MAX_CONFIGURATION_BYTES = 16 * 1024 * 1024;

export interface Inherited {
  readonly configuration: unknown;
  /** Settles when the process that started this one is gone; this one must end then. */
  readonly parentGone: Promise<void>;
}

/** In the child: what {@link startRestricted} was given. Throws where the pipe ends early or holds something else. */
export function readConfiguration(input: Readable = process.stdin): Promise<Inherited> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    const parentGone = new Promise<void>((gone) => input.once('close', gone).once('end', gone).once('error', gone));
    const early = (): void => reject(new Error('the configuration on standard input ended early'));
    const read = (chunk: Buffer): void => {
      const end = chunk.indexOf(0x0a);
      chunks.push(end < 0 ? chunk : chunk.subarray(0, end));
      length += chunk.length;
      if (end < 0 && length <= MAX_CONFIGURATION_BYTES) return;
      input.off('data', read).off('end', early).off('error', early);
      // Read on, or the end would never be seen.
      input.resume();
      if (end < 0) {
        reject(
          new Error(`the configuration on standard input is longer than ${String(MAX_CONFIGURATION_BYTES)} bytes`),
        );
        return;
      }
      try {
        resolve({ configuration: JSON.parse(Buffer.concat(chunks).toString('utf8')) as unknown, parentGone });
      } catch {
        // The parser's words would quote the text, and with it a secret.
        reject(new Error('the configuration on standard input is not JSON'));
      }
    };
    input.on('data', read).once('end', early).once('error', early);
  });
}

/** In the child: the stream at a file descriptor that {@link startRestricted} was given in `streams` (the first is 3). */
export function inheritedStream(fd: number): Duplex {
  return new Socket({ fd, readable: true, writable: true });
}
