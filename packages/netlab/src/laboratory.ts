import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NetworkNamespace } from './namespace.ts';
import { CommandError, describeExit, Process, type ProcessExit, type StartOptions } from './process.ts';

/** The laboratory is being taken down: nothing new can be started in it. */
export class LaboratoryClosed extends Error {
  readonly code = 'LABORATORY_CLOSED';

  constructor() {
    super('the laboratory is closed');
  }
}

export interface RunOptions extends StartOptions {
  /** Default: `PATIENCE_MS`. */
  readonly timeoutMs?: number;
  /** Return the exit code rather than throw. */
  readonly allowFailure?: boolean;
}

export interface RunResult extends ProcessExit {
  readonly stdout: string;
  readonly stderr: string;
}

/** Some let no signal but SIGKILL end them. */
const END_GRACE_MS = 3000;
const prefix = 'sp';
const netnsFolder = '/run/netns';
/** `ip netns exec` lays the files below /etc/netns/NAME over those of /etc. */
const etcFolder = '/etc/netns';
const open = new Set<Laboratory>();
const endingSignals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Network namespaces and what runs in them. Everything that is made through a laboratory is removed by `close`, which
 * also happens on SIGINT, SIGTERM and SIGHUP (the process then exits with 128 + the signal's number) and, at the
 * latest, when the process exits.
 */
export class Laboratory {
  /** Aborted as soon as the laboratory starts to close. */
  readonly closing: AbortSignal;
  /** A folder for this laboratory's files, readable by its owner only. */
  readonly folder: string;
  readonly #abort = new AbortController();
  readonly #processes = new Set<Process>();
  readonly #namespaces = new Map<string, NetworkNamespace>();
  readonly #files = new Set<string>();
  readonly #suffix: string;
  #counter = 0;
  #closed: Promise<void> | undefined;

  private constructor(suffix: string) {
    this.#suffix = suffix;
    this.closing = this.#abort.signal;
    this.folder = mkdtempSync(join(tmpdir(), `sallyport-${String(process.pid)}-`));
  }

  /** @throws Error when the process isn't root. */
  static open(): Laboratory {
    if (process.getuid?.() !== 0) throw new Error('network namespaces need root: run this again with sudo');
    removeAbandoned();
    if (open.size === 0) watchSignals();
    const laboratory = new Laboratory(nextSuffix());
    open.add(laboratory);
    return laboratory;
  }

  /** A new namespace with loopback up, IPv6 addresses usable at once, and no router solicitations. */
  async namespace(label: string): Promise<NetworkNamespace> {
    const name = `${prefix}-${String(process.pid)}${this.#suffix}-${label}`;
    const namespace = new NetworkNamespace(this, name, label);
    this.#namespaces.set(name, namespace);
    await this.run(['ip', 'netns', 'add', name]);
    await namespace.sysctl({
      'net.ipv6.conf.all.accept_dad': 0,
      'net.ipv6.conf.default.accept_dad': 0,
      'net.ipv6.conf.default.router_solicitations': 0,
      'net.ipv6.conf.default.accept_ra': 0,
    });
    await namespace.ip('link', 'set', 'lo', 'up');
    return namespace;
  }

  /** An interface name (at most 15 characters) that no other laboratory on this machine uses. */
  interfaceName(): string {
    return `${prefix}${process.pid.toString(36)}${this.#suffix}w${(this.#counter++).toString(36)}`;
  }

  /** Writes a file that only its owner can read. */
  file(name: string, content: string): string {
    const path = join(this.folder, `${String(this.#counter++)}-${name}`);
    writeFileSync(path, content, { mode: 0o600 });
    return path;
  }

  /** A path outside the laboratory's folder that is removed with it. */
  removeAtEnd(path: string): void {
    this.#files.add(path);
  }

  /** Starts a program in the background; it dies with this process even if that is killed. */
  start(argv: readonly string[], options?: StartOptions): Promise<Process> {
    return this.#start(['setpriv', '--pdeathsig', 'KILL', '--', ...argv], options);
  }

  /** Runs a program to its end. @throws CommandError when it fails or takes longer than `timeoutMs`. */
  async run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    const running = await this.#start(argv, options);
    const exit = await running.end(options.timeoutMs);
    if (this.closing.aborted) throw new LaboratoryClosed();
    if (exit.code !== 0 && options.allowFailure !== true) {
      throw new CommandError(argv, describeExit(exit), running.stderr === '' ? running.stdout : running.stderr);
    }
    return { ...exit, stdout: running.stdout, stderr: running.stderr };
  }

  async #start(argv: readonly string[], options?: StartOptions): Promise<Process> {
    if (this.closing.aborted) throw new LaboratoryClosed();
    const started = await Process.start(argv, options);
    this.#processes.add(started);
    void started.exited.then(() => this.#processes.delete(started));
    return started;
  }

  /** Removes everything. May be called more than once. */
  close(): Promise<void> {
    this.#closed ??= this.#close();
    return this.#closed;
  }

  async #close(): Promise<void> {
    this.#abort.abort();
    await Promise.all([...this.#processes].map((running) => running.stop('SIGTERM', END_GRACE_MS)));
    this.removeNow();
    open.delete(this);
    if (open.size === 0) ignoreSignals();
  }

  /** Removes everything without waiting for anybody's orderly end. */
  removeNow(): void {
    for (const running of this.#processes) running.signalGroup('SIGKILL');
    for (const name of this.#namespaces.keys()) removeNamespace(name);
    for (const path of this.#files) rmSync(path, { force: true });
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Opens a laboratory for `use` and closes it whatever happens. */
export async function withLaboratory<T>(use: (laboratory: Laboratory) => Promise<T>): Promise<T> {
  const laboratory = Laboratory.open();
  try {
    return await use(laboratory);
  } finally {
    await laboratory.close();
  }
}

let laboratories = 0;

// One process may open several laboratories, at once or one after the other.
function nextSuffix(): string {
  const number = laboratories++;
  return number === 0 ? '' : String.fromCharCode(97 + ((number - 1) % 26));
}

function removeNamespace(name: string): void {
  // Programs that left their process group still belong to the namespace.
  const pids = spawnSync('ip', ['netns', 'pids', name], { encoding: 'utf8' });
  for (const pid of (pids.stdout ?? '').split('\n')) {
    try {
      if (pid !== '') process.kill(Number(pid), 'SIGKILL');
    } catch {
      // It has ended.
    }
  }
  spawnSync('ip', ['netns', 'del', name]);
  rmSync(join(etcFolder, name), { recursive: true, force: true });
}

// A laboratory whose process was killed leaves namespaces and files behind; their names carry its process identifier.
function removeAbandoned(): void {
  const abandoned = (folder: string, pattern: RegExp) =>
    listFolder(folder).filter((name) => {
      const pid = pattern.exec(name)?.[1];
      return pid !== undefined && !isAlive(Number(pid));
    });
  for (const name of abandoned(netnsFolder, new RegExp(`^${prefix}-(\\d+)[a-z]?-`))) removeNamespace(name);
  for (const name of abandoned(tmpdir(), /^sallyport-(\d+)-/))
    rmSync(join(tmpdir(), name), { recursive: true, force: true });
}

function listFolder(path: string): string[] {
  try {
    return readdirSync(path);
  } catch {
    return [];
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

function watchSignals(): void {
  for (const signal of endingSignals) process.on(signal, endBySignal);
  process.on('exit', removeAll);
}

function ignoreSignals(): void {
  for (const signal of endingSignals) process.off(signal, endBySignal);
  process.off('exit', removeAll);
}

let ending = false;

function endBySignal(_signal: NodeJS.Signals, number: number): void {
  if (ending) return;
  ending = true;
  void Promise.all([...open].map((laboratory) => laboratory.close())).finally(() => process.exit(128 + number));
}

function removeAll(): void {
  for (const laboratory of open) laboratory.removeNow();
}
