import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until, WireGuardDevice, type NetworkNamespace, type Program } from '@sallyport/netlab';

export const sallyport = fileURLToPath(new URL('../../../bin/sallyport', import.meta.url));

/** Unix milliseconds. */
export interface Timed {
  readonly sentAt: number;
  readonly answeredAt: number;
}

/** Somebody at a machine, with a login of their own. */
export class Person {
  readonly name: string;
  readonly machine: NetworkNamespace;
  readonly #home: string;

  constructor(name: string, machine: NetworkNamespace) {
    this.name = name;
    this.machine = machine;
    this.#home = join(machine.laboratory.folder, `home-${name}`);
    mkdirSync(this.#home, { mode: 0o700 });
  }

  /** Runs a command of `sallyport`; `input` holds secrets, a line each. @throws CommandError when it fails. */
  async run(args: readonly string[], input = ''): Promise<string> {
    const run = await this.machine.run([sallyport, ...args], {
      env: { XDG_CONFIG_HOME: this.#home },
      input,
    });
    return run.stdout;
  }

  /** Runs a command that may fail. */
  attempt(args: readonly string[]): Promise<{ readonly code: number | null; readonly stderr: string }> {
    const options = { env: { XDG_CONFIG_HOME: this.#home }, allowFailure: true };
    return this.machine.run([sallyport, ...args], options);
  }

  /** Changes a user by the API, from this person's login; returns when that was sent and answered. */
  changeUser(user: string, body: object): Promise<Timed> {
    return this.#timed('user', user, JSON.stringify(body));
  }

  /** Removes somebody's device by the API, from this person's login; returns when that was sent and answered. */
  removeDevice(id: string): Promise<Timed> {
    return this.#timed('removal', id);
  }

  async #timed(...change: readonly string[]): Promise<Timed> {
    const script = join(import.meta.dirname, 'timed-change.ts');
    const credentials = join(this.#home, 'sallyport', 'credentials.json');
    const run = await this.machine.run([process.execPath, script, credentials, ...change]);
    return JSON.parse(run.stdout) as Timed;
  }

  async json<T>(args: readonly string[], input = ''): Promise<T> {
    return JSON.parse(await this.run([...args, '--json'], input)) as T;
  }
}

/** A WireGuard app, configured by the text of a configuration file as the service gives it. */
export class App {
  readonly device: WireGuardDevice;
  readonly #machine: NetworkNamespace;
  readonly #router: { readonly ipv4: string; readonly ipv6: string };

  #configuration = '';

  private constructor(
    device: WireGuardDevice,
    machine: NetworkNamespace,
    router: { readonly ipv4: string; readonly ipv6: string },
  ) {
    this.device = device;
    this.#machine = machine;
    this.#router = router;
  }

  /** Brings the tunnel up and sends everything into it but what goes to the gateway itself. */
  static async start(
    machine: NetworkNamespace,
    program: Program,
    configuration: string,
    router: { readonly ipv4: string; readonly ipv6: string },
  ): Promise<App> {
    const app = new App(await WireGuardDevice.start(machine, program), machine, router);
    const parsed = parse(configuration);
    await app.use(configuration);
    await app.device.up(parsed.addresses, 1420);
    for (const half of ['0.0.0.0/1', '128.0.0.0/1', '::/1', '8000::/1'])
      await machine.route(half, 'dev', app.device.name);
    return app;
  }

  /** Uses another configuration of the same device: another gateway. */
  async use(configuration: string): Promise<void> {
    this.#configuration = configuration;
    const { privateKey, publicKey, endpoint, allowedIps } = parse(configuration);
    const host = endpoint.replace(/:\d+$/, '');
    const gateway = host.startsWith('[') ? host.slice(1, -1) : host;
    const isV6 = gateway.includes(':');
    await this.#machine.route(`${gateway}/${isV6 ? '128' : '32'}`, 'via', isV6 ? this.#router.ipv6 : this.#router.ipv4);
    await this.device.configure({ privateKey, peers: [{ publicKey, endpoint, allowedIps, persistentKeepalive: 25 }] });
  }

  /** Uses the configuration for another gateway, which the service gives without the key that is in use. */
  move(template: string): Promise<void> {
    const { privateKey } = parse(this.#configuration);
    return this.use(template.replace(/^#?\s*PrivateKey\s*=.*$/m, `PrivateKey = ${privateKey}`));
  }

  /** Waits for a handshake with the gateway of the configuration. */
  async connected(): Promise<void> {
    await until('a handshake', async () =>
      (await this.device.peers()).some(({ latestHandshake }) => latestHandshake > 0),
    );
  }
}

function parse(configuration: string): {
  privateKey: string;
  addresses: string[];
  publicKey: string;
  endpoint: string;
  allowedIps: string[];
} {
  const value = (name: string): string => {
    const found = new RegExp(`^${name}\\s*=\\s*(.+)$`, 'm').exec(configuration)?.[1];
    if (found === undefined) throw new Error(`the configuration has no ${name}:\n${configuration}`);
    return found.trim();
  };
  const list = (name: string) => value(name).split(/\s*,\s*/);
  return {
    privateKey: value('PrivateKey'),
    addresses: list('Address'),
    publicKey: value('PublicKey'),
    endpoint: value('Endpoint'),
    allowedIps: list('AllowedIPs'),
  };
}
