import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { until, type NetworkNamespace, type Process } from '@sallyport/netlab';

const root = resolve(import.meta.dirname, '../..');

const ADMINISTRATOR = { name: 'admin', password: 'correct horse battery' };

/** What `--json` prints. */
export interface ServerFacts {
  readonly startMilliseconds: number;
  readonly control: { readonly url: string; readonly fingerprint: string; readonly setupUrl: string | null } | null;
  readonly gateway: { readonly port: number; readonly connected: boolean } | null;
  readonly processes: Readonly<Partial<Record<'supervisor' | 'control' | 'helper' | 'gateway' | 'carrier', number>>>;
}

/** A folder that the server's unprivileged processes can reach. */
export function dataFolder(): { path: string; remove: () => void } {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-server-'));
  chmodSync(folder, 0o711);
  return {
    path: join(folder, 'data'),
    remove: () => {
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** `sallyport server` in a namespace. */
export class Server {
  readonly namespace: NetworkNamespace;
  readonly process: Process;
  readonly facts: ServerFacts;

  private constructor(namespace: NetworkNamespace, process: Process, facts: ServerFacts) {
    this.namespace = namespace;
    this.process = process;
    this.facts = facts;
  }

  /** Starts it with `--json` and waits until it is ready. */
  static async start(namespace: NetworkNamespace, argv: readonly string[]): Promise<Server> {
    const process = await Server.launch(namespace, [...argv, '--json']);
    await until('the server', () => {
      assert.equal(process.exit, undefined, `it ended: ${process.stderr}`);
      return process.stdout.includes('\n');
    });
    return new Server(namespace, process, JSON.parse(process.stdout) as ServerFacts);
  }

  static launch(namespace: NetworkNamespace, argv: readonly string[]): Promise<Process> {
    return namespace.start([join(root, 'scripts/node'), join(root, 'apps/server/src/main.ts'), ...argv]);
  }

  /** The processes as they are now: those that were started again have other numbers. */
  processes(): Record<string, number> {
    const children = readFileSync(
      `/proc/${String(this.process.pid)}/task/${String(this.process.pid)}/children`,
      'utf8',
    );
    const found = children
      .trim()
      .split(' ')
      .filter((pid) => pid !== '')
      .map((pid): [string, number] => {
        const module = commandLine(Number(pid)).find((word) => word.endsWith('.ts')) ?? '';
        return [/([a-z]+)-process\.ts$/.exec(module)?.[1] ?? 'other', Number(pid)];
      });
    return Object.fromEntries(found);
  }

  /** Sends a request from the server's own machine. */
  async call(method: string, path: string, body?: unknown, token?: string): Promise<{ status: number; body: unknown }> {
    const { stdout } = await this.namespace.run(
      [
        ...['curl', '--silent', '--insecure', '--max-time', '60', '--request', method, '--write-out', '\n%{http_code}'],
        ...(body === undefined ? [] : ['--header', 'content-type: application/json', '--data-binary', '@-']),
        ...(token === undefined ? [] : ['--header', `authorization: Bearer ${token}`]),
        `${this.facts.control?.url ?? ''}${path}`,
      ],
      { allowFailure: true, ...(body === undefined ? {} : { input: JSON.stringify(body) }) },
    );
    const end = stdout.lastIndexOf('\n');
    const text = stdout.slice(0, end);
    return { status: Number(stdout.slice(end + 1)), body: text === '' ? undefined : (JSON.parse(text) as unknown) };
  }

  /** Creates the first administrator and logs in. Answers with the session's token. */
  async setUp(): Promise<string> {
    const token = this.facts.control?.setupUrl?.split('#')[1];
    assert.equal((await this.call('POST', '/api/v1/setup', { token, ...ADMINISTRATOR })).status, 201);
    return this.logIn();
  }

  /** Logs the administrator in. Answers with the session's token. */
  async logIn(): Promise<string> {
    const login = await this.call('POST', '/api/v1/login', ADMINISTRATOR);
    assert.equal(login.status, 200, JSON.stringify(login.body));
    return (login.body as { token: string }).token;
  }

  async stop(): Promise<void> {
    this.process.signal('SIGTERM');
    const { code } = await this.process.end();
    assert.equal(code, 0, this.process.stderr);
  }
}

export function commandLine(pid: number): string[] {
  try {
    return readFileSync(`/proc/${String(pid)}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}

export function isAlive(pid: number): boolean {
  try {
    // One that has ended stays listed until the machine's first process has heard of it, which may take seconds.
    return !/\) Z /.test(readFileSync(`/proc/${String(pid)}/stat`, 'utf8'));
  } catch {
    return false;
  }
}
