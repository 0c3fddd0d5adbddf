import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { until, type Process } from '@sallyport/netlab';
import { announced } from '../../announced.ts';
import { sallyport } from '../service/person.ts';
import { GATEWAYS, WEB, type ClientWorld, type GatewayName } from './world.ts';

/** The port of the control plane. */
export const CONTROL_PORT = 8443;
/** Gateways' ports as they are where nothing else is said: WireGuard, AmneziaWG, tunnels over TLS. */
export const PORTS = { wireguard: 51_820, amneziawg: 51_821, tls: 8444 } as const;

/** Gateways B and C are near, so that each can stand in for the other; gateway A, with the control plane, is far. */
export const REGIONS = { near: 'near', far: 'far' } as const;
const ADMINISTRATOR = { name: 'admin', password: 'correct horse battery' };

interface Announcement {
  readonly control: { readonly url: string; readonly fingerprint: string; readonly setupUrl: string };
}

/** The whole service, as its administrator has it. */
export class ClientService {
  readonly url: string;
  readonly fingerprint: string;
  /** Of each gateway, `sallyport server` or `sallyport gateway run`. */
  readonly processes: Record<GatewayName, Process>;
  readonly #world: ClientWorld;
  readonly #session: string;

  private constructor(
    world: ClientWorld,
    { url, fingerprint }: Announcement['control'],
    session: string,
    processes: Record<GatewayName, Process>,
  ) {
    this.#world = world;
    this.url = url;
    this.fingerprint = fingerprint;
    this.#session = session;
    this.processes = processes;
  }

  /** Gateway A with the control plane, and those of the other gateways that are named, which join by a token. */
  static async start(
    world: ClientWorld,
    others: readonly Exclude<GatewayName, 'gatewayA'>[] = ['gatewayB', 'gatewayC'],
    more = '',
  ): Promise<ClientService> {
    // The processes that keep their data there are not root: they must be able to pass.
    chmodSync(world.laboratory.folder, 0o711);
    const listen = `["${GATEWAYS.gatewayA.ipv4}:${String(CONTROL_PORT)}", "[${GATEWAYS.gatewayA.ipv6}]:${String(CONTROL_PORT)}"]`; // prettier-ignore
    const file = configuration(world, 'gatewayA', `[web]\nlisten = ${listen}\n`, `region = "${REGIONS.far}"\n${more}`);
    const main = await world.gatewayA.start([sallyport, 'server', '--config', file, '--json']);
    const { control } = await announced<Announcement>('gatewayA', main);
    const anybody = new ClientService(world, control, '', { gatewayA: main, gatewayB: main, gatewayC: main });
    await anybody.call('POST', '/setup', { token: control.setupUrl.split('#')[1], ...ADMINISTRATOR });
    const { token } = await anybody.call<{ token: string }>('POST', '/login', ADMINISTRATOR);
    const service = new ClientService(world, control, token, anybody.processes);
    await service.call('POST', '/regions', { id: REGIONS.near, name: 'Near' });
    await service.change('/settings', { dns: { upstreams: [`udp://${WEB.ipv4}:53`] } });
    await Promise.all(others.map((name) => service.join(name)));
    await until(
      'healthy gateways',
      async () => {
        const { items } = await service.call<{ items: { health: string }[] }>('GET', '/gateways');
        return items.length === 1 + others.length && items.every(({ health }) => health === 'healthy');
      },
      undefined,
      100,
    );
    return service;
  }

  /** Calls the API as the administrator, at gateway A. @throws Error where it refuses. */
  async call<T = unknown>(method: string, path: string, body?: unknown, ifMatch?: number): Promise<T> {
    const { stdout } = await this.#world.gatewayA.run(
      [
        ...['curl', '-s', '-k', '--max-time', '60', '-X', method, '-w', '\n%{http_code}'],
        ...(body === undefined ? [] : ['-H', 'content-type: application/json', '--data-binary', '@-']),
        ...(ifMatch === undefined ? [] : ['-H', `if-match: "${String(ifMatch)}"`]),
        ...(this.#session === '' ? [] : ['-H', `authorization: Bearer ${this.#session}`]),
        `${this.url}/api/v1${path}`,
      ],
      body === undefined ? {} : { input: JSON.stringify(body) },
    );
    const end = stdout.lastIndexOf('\n');
    const [text, status] = [stdout.slice(0, end), Number(stdout.slice(end + 1))];
    if (status < 200 || status > 299) throw new Error(`${method} ${path}: ${String(status)} ${text}`);
    return (text === '' ? undefined : JSON.parse(text)) as T;
  }

  /** Changes what is at a path, whichever version it has. */
  async change(path: string, body: object): Promise<void> {
    const now = await this.call<{ version: number } & Record<string, unknown>>('GET', path);
    const merged = Object.entries(body).map(([key, value]: [string, unknown]) => {
      const before = now[key];
      return [key, isObject(value) && isObject(before) ? { ...before, ...value } : value] as const;
    });
    await this.call('PATCH', path, Object.fromEntries(merged), now.version);
  }

  /** An API token by which a machine logs in as the administrator. */
  async machineToken(name = 'client'): Promise<string> {
    const made = await this.call<{ token: string }>('POST', '/tokens', { name, permissions: ['self'] });
    return made.token;
  }

  async join(name: Exclude<GatewayName, 'gatewayA'>): Promise<void> {
    const body = { regionId: REGIONS.near };
    const { token } = await this.call<{ token: string }>('POST', '/gateways/join-tokens', body);
    const argv = [sallyport, 'gateway', 'join', this.url, '-', '--config', configuration(this.#world, name), '--json'];
    this.processes[name] = await this.#world[name].start(argv, { input: token });
    await announced(name, this.processes[name]);
  }

  /** Kills a gateway with all of its processes, as a machine that loses its power. Not gateway A: the rest needs it. */
  kill(name: Exclude<GatewayName, 'gatewayA'>): Promise<void> {
    return this.processes[name].stop('SIGKILL');
  }

  /** Runs a gateway again that was killed. */
  async runAgain(name: Exclude<GatewayName, 'gatewayA'>): Promise<void> {
    const argv = [sallyport, 'gateway', 'run', '--config', configuration(this.#world, name), '--json'];
    this.processes[name] = await this.#world[name].start(argv);
    await announced(name, this.processes[name]);
  }
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function configuration(world: ClientWorld, name: GatewayName, before = '', gateway = ''): string {
  const data = `data = ${JSON.stringify(join(world.laboratory.folder, name))}\n`;
  const place = `[gateway]\nname = "${name.toLowerCase()}"\npublic_address = "${GATEWAYS[name].ipv4}"\n`;
  return world.laboratory.file(`${name}.toml`, `${data}${before}${place}${gateway}`);
}
