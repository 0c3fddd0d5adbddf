import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chownSync, existsSync, globSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CommandError, PATIENCE_MS, Process } from './process.ts';

/**
 * A throw-away PostgreSQL server, reached by a socket in a folder of its own and by a password.
 * It runs as the user `postgres` where this process is root, which PostgreSQL refuses.
 */
export class PostgresServer {
  /** The folder that holds the data and the socket. */
  readonly folder: string;
  readonly #programs: string;
  readonly #durable: boolean;
  readonly #password = randomBytes(12).toString('hex');
  #process: Process | undefined;
  #databases = 0;

  private constructor(folder: string, programs: string, durable: boolean) {
    this.folder = folder;
    this.#programs = programs;
    this.#durable = durable;
  }

  /**
   * Makes a server and starts it. `durable`: what it acknowledges outlasts the machine's end, as usual; without, it waits for
   * no disk, and what it acknowledges outlasts its own end alone. @throws Error when PostgreSQL isn't installed
   */
  static async start({ durable = true } = {}): Promise<PostgresServer> {
    const programs = findPrograms();
    const folder = mkdtempSync(join(tmpdir(), 'sallyport-postgres-'));
    const server = new PostgresServer(folder, programs, durable);
    try {
      const passwordFile = join(folder, 'password');
      writeFileSync(passwordFile, server.#password, { mode: 0o600 });
      if (isRoot()) {
        const [user, group] = [numberOf('-u'), numberOf('-g')];
        chownSync(folder, user, group);
        chownSync(passwordFile, user, group);
      }
      await server.#end('initdb', [
        ...['--pgdata', server.#data, '--username', 'sallyport', '--encoding', 'UTF8', '--locale', 'C.UTF-8'],
        ...['--auth', 'scram-sha-256', '--pwfile', passwordFile, '--no-sync'],
      ]);
      await server.restart();
    } catch (error) {
      await server.remove();
      throw error;
    }
    return server;
  }

  /** Where a database is, for a client. */
  url(database = 'postgres'): string {
    return `postgresql://sallyport:${this.#password}@localhost/${database}?host=${this.folder}`;
  }

  /** Makes an empty database. Returns its URL. */
  async createDatabase(): Promise<string> {
    const name = `test_${++this.#databases}`;
    await this.sql(`CREATE DATABASE ${name}`);
    return this.url(name);
  }

  /** Runs SQL by psql; returns what it prints, fields separated by "|". */
  async sql(text: string, database = 'postgres'): Promise<string> {
    const argv = ['--no-psqlrc', '--quiet', '--tuples-only', '--no-align', '--set', 'ON_ERROR_STOP=1'];
    return this.#end('psql', [...argv, '--host', this.folder, '--username', 'sallyport', '--command', text, database]);
  }

  /** Starts it after {@link stop} or {@link kill}; settles once it takes connections. */
  async restart(): Promise<void> {
    const settings = {
      listen_addresses: '',
      unix_socket_directories: this.folder,
      max_connections: '60',
      ...(this.#durable ? {} : { fsync: 'off' }),
    };
    const options = Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    this.#process = await Process.start(this.#argv('postgres', ['-D', this.#data, ...options]));
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const { exit, stderr, argv } = this.#process;
      if (exit !== undefined) throw new CommandError(argv, 'it ended', stderr);
      const probe = await Process.start([join(this.#programs, 'pg_isready'), '--host', this.folder]);
      if ((await probe.end()).code === 0) return;
      if (performance.now() > deadline) throw new CommandError(argv, 'it does not answer', stderr);
      await new Promise((resolve) => setTimeout(resolve, 30));
    }
  }

  /** Ends it, breaking off its clients' connections ("fast shutdown"). */
  async stop(): Promise<void> {
    this.#process?.signal('SIGINT');
    await this.#process?.exited;
  }

  /** Kills all of it with SIGKILL. */
  async kill(): Promise<void> {
    this.#process?.signalGroup('SIGKILL');
    await this.#process?.exited;
  }

  /** Ends it and removes its data. */
  async remove(): Promise<void> {
    await this.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  get #data(): string {
    return join(this.folder, 'data');
  }

  #argv(program: string, options: readonly string[]): string[] {
    const argv = [join(this.#programs, program), ...options];
    // setpriv replaces itself by the program, so that signals reach that.
    const asPostgres = ['setpriv', '--reuid=postgres', '--regid=postgres', '--init-groups', '--pdeathsig=KILL'];
    return isRoot() ? [...asPostgres, 'env', '--chdir', this.folder, ...argv] : argv;
  }

  async #end(program: string, options: readonly string[]): Promise<string> {
    const process = await Process.start(this.#argv(program, options), { env: { PGPASSWORD: this.#password } });
    const { code } = await process.end();
    if (code !== 0) throw new CommandError(process.argv, `exit code ${String(code)}`, process.stderr);
    return process.stdout.trim();
  }
}

/** The folder of the newest PostgreSQL's programs; Debian keeps them off the PATH. */
function findPrograms(): string {
  const versions = globSync('/usr/lib/postgresql/*/bin')
    .filter(hasPrograms)
    .sort((a, b) => Number(b.split('/')[4]) - Number(a.split('/')[4]));
  const onPath = (process.env['PATH'] ?? '').split(':').filter(hasPrograms);
  const found = [...onPath, ...versions][0];
  if (found === undefined) throw new Error('PostgreSQL is not installed: scripts/install-system');
  return found;
}

/** Some of them alone on the PATH (links, wrappers) don't make a server. */
function hasPrograms(folder: string): boolean {
  return ['initdb', 'postgres', 'pg_isready', 'psql'].every((name) => existsSync(join(folder, name)));
}

function isRoot(): boolean {
  return process.getuid?.() === 0;
}

function numberOf(option: '-u' | '-g'): number {
  return Number(execFileSync('id', [option, 'postgres'], { encoding: 'utf8' }));
}
