import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  CommandError,
  describeExit,
  until,
  type NetworkNamespace,
  type Process,
  type RunResult,
} from '@sallyport/netlab';
import { sallyport } from '../service/person.ts';
import type { ClientService } from './servers.ts';

const daemonProgram = fileURLToPath(new URL('../../../apps/clientd/src/main.ts', import.meta.url));
const node = fileURLToPath(new URL('../../../scripts/node', import.meta.url));

/** What `sallyport status --json` says, as far as it matters here. */
export interface Status {
  readonly state: 'disconnected' | 'connecting' | 'connected' | 'reconnecting' | 'blocked' | 'disconnecting';
  readonly message: string;
  readonly killSwitch: 'off' | 'on' | 'lockdown';
  readonly mtu: number | null;
  readonly hops: readonly {
    readonly name: string;
    readonly endpoint: string;
    readonly transport: 'wireguard' | 'amneziawg' | 'tls';
    readonly postQuantum: boolean;
  }[];
  readonly dns: { readonly by: string; readonly servers: readonly string[] };
  readonly account: { readonly ipv4: string; readonly ipv6: string; readonly deviceId: string; readonly deviceName: string } | null; // prettier-ignore
  readonly advertised: readonly { readonly prefix: string; readonly approved: boolean }[];
}

/** The client's machine: its daemon, and the commands of the person who uses it. */
export class ClientMachine {
  readonly machine: NetworkNamespace;
  readonly folder: string;
  #daemon: Process | undefined;

  constructor(machine: NetworkNamespace) {
    this.machine = machine;
    this.folder = join(machine.laboratory.folder, `at-${machine.label}`);
    mkdirSync(this.folder, { recursive: true });
  }

  get daemon(): Process {
    if (this.#daemon === undefined) throw new Error('the daemon was never started');
    return this.#daemon;
  }

  get socket(): string {
    return join(this.folder, 'run/socket');
  }

  /** Starts the daemon and waits until commands reach it. `env` is added to its environment. */
  async startDaemon(env: Readonly<Record<string, string>> = {}): Promise<void> {
    const folders = ['--state-folder', join(this.folder, 'state'), '--run-folder', join(this.folder, 'run')];
    const daemon = await this.machine.start([node, daemonProgram, ...folders], { env });
    this.#daemon = daemon;
    await until('the daemon', () => {
      if (daemon.exit !== undefined) throw new CommandError(daemon.argv, describeExit(daemon.exit), daemon.stderr);
      return daemon.stderr.includes('"ready"');
    });
  }

  /** As a crash, which leaves it no time for anything. */
  async killDaemon(): Promise<void> {
    this.daemon.signal('SIGKILL');
    await this.daemon.end();
  }

  /** Asks it to end, as the system does. */
  async stopDaemon(): Promise<void> {
    this.daemon.signal('SIGTERM');
    const exit = await this.daemon.end();
    if (exit.code !== 0) throw new CommandError(this.daemon.argv, describeExit(exit), this.daemon.stderr);
  }

  /** Runs a command of `sallyport`; `input` holds secrets. @throws CommandError when it fails. */
  async run(args: readonly string[], input = ''): Promise<string> {
    const options = { env: this.environment, input };
    return (await this.machine.run([sallyport, ...args], options)).stdout;
  }

  /** Runs a command that may fail. */
  attempt(args: readonly string[]): Promise<RunResult> {
    return this.machine.run([sallyport, ...args], { env: this.environment, allowFailure: true });
  }

  /** Starts a command that is not waited for. */
  begin(args: readonly string[]): Promise<Process> {
    return this.machine.start([sallyport, ...args], { env: this.environment });
  }

  get environment(): Readonly<Record<string, string>> {
    return { SALLYPORT_CLIENT_SOCKET: this.socket, XDG_CONFIG_HOME: this.folder };
  }

  async json<T>(args: readonly string[]): Promise<T> {
    return JSON.parse(await this.run([...args, '--json'])) as T;
  }

  logIn(service: ClientService, token: string, name = 'laptop'): Promise<string> {
    const how = ['--fingerprint', service.fingerprint, '--token-file', '-', '--name', name];
    return this.run(['login', service.url, ...how], `${token}\n`);
  }

  status(): Promise<Status> {
    return this.json<Status>(['status']);
  }
}
