import {
  generateKeys,
  Laboratory,
  sallyportDevice,
  until,
  type NetworkNamespace,
  type Process,
  type Program,
} from '@sallyport/netlab';
import type { Device, Gateway } from '@sallyport/api';
import { App } from '../../../demo/scenarios/service/person.ts';
import { runGateway, startService, type RunningService } from '../../../demo/scenarios/service/servers.ts';
import { ADDRESSES, buildServiceWorld, startMirror, type ServiceWorld } from '../../../demo/scenarios/service/world.ts';
import { Api } from './api.ts';
import { startStreamServer } from './flows.ts';

export const ADMINISTRATOR = { name: 'admin', password: 'correct horse battery' };
const ROUTERS = {
  alice: { ipv4: '192.0.2.9', ipv6: '2001:db8:1:1::1' },
  bob: { ipv4: '192.0.2.25', ipv6: '2001:db8:1:2::1' },
} as const;
/** Both addresses of the internet's host, and of the private one. */
export const INTERNET = [ADDRESSES.internet.ipv4, ADDRESSES.internet.ipv6];
export const LEDGER = [ADDRESSES.privateHost.ipv4, ADDRESSES.privateHost.ipv6];

/** A device of a user. */
export interface Prepared {
  readonly device: Device;
  readonly privateKey: string;
  /** For a WireGuard app. */
  readonly configuration: string;
}

/** A device in use at a machine. */
export interface Client extends Prepared {
  readonly machine: NetworkNamespace;
  readonly app: App;
}

interface ClientOptions {
  /** The device's program; our own by default. */
  readonly program?: Program;
  /** The name of a gateway; the recommended one by default. */
  readonly gateway?: string | undefined;
}

/**
 * The world of the demonstration with a service whose administrator is logged in. Everyone reaches the internet, as in
 * every new service; the group `finance` alone, by the rule `finance-ledger`, the private host.
 */
export class ServiceRig {
  readonly world: ServiceWorld;
  service: RunningService;
  api: Api;

  private constructor(world: ServiceWorld, service: RunningService, api: Api) {
    this.world = world;
    this.service = service;
    this.api = api;
  }

  static async start(
    settings: { readonly configuration?: string; readonly folder?: string } = {},
  ): Promise<ServiceRig> {
    const laboratory = Laboratory.open();
    try {
      const world = await buildServiceWorld(laboratory);
      for (const host of [world.internet, world.privateHost]) {
        await startMirror(host);
        await startStreamServer(host);
      }
      const service = await startService(world, settings);
      const api = await Api.start(world.admin, service.url, service.fingerprint);
      const rig = new ServiceRig(world, service, api);
      await api.call('setUp', { body: { token: service.link.split('#')[1], ...ADMINISTRATOR } });
      rig.api = await rig.logIn(ADMINISTRATOR.name, ADMINISTRATOR.password);
      await rig.api.call('createGroup', { body: { name: 'finance' } });
      await rig.allow('finance-ledger', 'finance', LEDGER);
      return rig;
    } catch (error) {
      await laboratory.close();
      throw error;
    }
  }

  /** A resource and a rule of that name. */
  async allow(name: string, group: string, prefixes: readonly string[]): Promise<void> {
    await this.api.call('createResource', { body: { name, prefixes } });
    await this.api.call('createRule', { body: { name, groups: [group], resources: [name] } });
  }

  async logIn(name: string, password: string): Promise<Api> {
    const login = await this.api.withToken(undefined).call('logIn', { body: { name, password } });
    return this.api.withToken((login as { token: string }).token);
  }

  /** Creates a user; more of it as the API takes it. */
  async user(name: string, more: object = {}): Promise<void> {
    await this.api.call('createUser', { body: { name, ...more } });
  }

  /** Gives a user a password. */
  async password(user: string, password: string): Promise<void> {
    const { token } = (await this.api.call('createInvitation', { body: { userId: user } })) as { token: string };
    await this.api.call('acceptInvitation', { body: { token, password } });
  }

  /** Adds a device of a user and connects with it. */
  async connect(at: keyof typeof ROUTERS, user: string, how: ClientOptions = {}): Promise<Client> {
    return this.start(at, await this.prepare(user, how), how.program);
  }

  /** Adds a device of a user. */
  async prepare(user: string, { gateway }: ClientOptions = {}): Promise<Prepared> {
    const { publicKey, privateKey } = generateKeys();
    const body = { user, name: `of-${user}`, publicKey };
    const device = await this.api.call('createDevice', { body });
    return { device, privateKey, configuration: await this.configuration(device, privateKey, gateway) };
  }

  /** Connects with a device. */
  async start(at: keyof typeof ROUTERS, prepared: Prepared, program: Program = sallyportDevice): Promise<Client> {
    const machine = this.world[at];
    const app = await App.start(machine, program, prepared.configuration, ROUTERS[at]);
    await app.connected();
    // What comes while the device has no processor for seconds waits, as it would in a network: a test counts what is lost.
    await machine.ip('link', 'set', app.device.name, 'txqueuelen', '10000');
    return { ...prepared, machine, app };
  }

  async configuration(device: Device, privateKey: string, gateway?: string): Promise<string> {
    const template = await this.api.call('getDeviceConfiguration', {
      params: { deviceId: device.id },
      ...(gateway === undefined ? {} : { query: { gateway } }),
    });
    return template.replace(/^# PrivateKey = .*$/m, `PrivateKey = ${privateKey}`);
  }

  async disconnect({ app }: Client): Promise<void> {
    await app.device.process.stop();
  }

  async device({ device }: Client): Promise<Device> {
    return await this.api.call('getDevice', { params: { deviceId: device.id } });
  }

  /** Lets the second gateway join under the name `oslo`, and waits until it is healthy. */
  async joinGateway(): Promise<{ readonly process: Process; readonly token: string }> {
    await this.api.call('createRegion', { body: { id: 'norway', name: 'Norway' } });
    const { token } = (await this.api.call('createJoinToken', { body: { regionId: 'norway' } })) as { token: string };
    const process = await runGateway(this.world, { url: this.service.url, token });
    await this.healthy('oslo');
    return { process, token };
  }

  /** Waits until a gateway is healthy. */
  async healthy(name: string): Promise<void> {
    await until(`the gateway ${name}`, async () => (await this.#gateway(name))?.health === 'healthy', undefined, 100);
  }

  /** Changes something that a gateway has to know, and waits until it does. */
  async applied<T>(name: string, change: () => Promise<T>): Promise<T> {
    const before = await this.#appliedAll(name, -1);
    const result = await change();
    await this.#appliedAll(name, before);
    return result;
  }

  /** Waits until a gateway serves all that it was sent, and something newer than this version; answers with its version. */
  async #appliedAll(name: string, newerThan: number): Promise<number> {
    const { appliedVersion } = await until(
      `what is new at ${name}`,
      async () => {
        const gateway = await this.#gateway(name);
        return (
          gateway?.appliedVersion === gateway?.stateVersion && (gateway?.appliedVersion ?? -1) > newerThan && gateway
        );
      },
      undefined,
      100,
    );
    return appliedVersion;
  }

  async #gateway(name: string): Promise<Gateway | undefined> {
    const { items } = (await this.api.call('listGateways')) as unknown as { items: Gateway[] };
    return items.find((gateway) => gateway.name === name);
  }

  close(): Promise<void> {
    return this.world.laboratory.close();
  }
}
