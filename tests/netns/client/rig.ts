import { describeExit, Laboratory, until } from '@sallyport/netlab';
import type { ClientSettings, ClientStatus } from '@sallyport/client';
import { ClientMachine } from '../../../demo/scenarios/client/machine.ts';
import { ClientService } from '../../../demo/scenarios/client/servers.ts';
import {
  buildClientWorld,
  GATEWAYS,
  type ClientWorld,
  type GatewayName,
} from '../../../demo/scenarios/client/world.ts';
import { ask, Refused } from '../../clientd/daemon-caller.ts';

export const GATEWAY_NAMES = Object.keys(GATEWAYS) as GatewayName[];

type Others = readonly Exclude<GatewayName, 'gatewayA'>[];

/** The demonstration's world with a client that is logged in, and quicker ways to it than commands. */
export class ClientRig {
  readonly world: ClientWorld;
  readonly service: ClientService;
  readonly machine: ClientMachine;

  private constructor(world: ClientWorld, service: ClientService, machine: ClientMachine) {
    this.world = world;
    this.service = service;
    this.machine = machine;
  }

  static async start(others?: Others, more?: string): Promise<ClientRig> {
    const laboratory = Laboratory.open();
    try {
      const world = await buildClientWorld(laboratory);
      const service = await ClientService.start(world, others, more);
      const machine = new ClientMachine(world.client);
      await machine.startDaemon();
      await machine.logIn(service, await service.machineToken());
      return new ClientRig(world, service, machine);
    } catch (error) {
      await laboratory.close();
      throw error;
    }
  }

  /** @throws Refused; Error with the daemon's last words where it is gone. */
  async ask<Result = ClientStatus>(
    method: string,
    params: object = {},
    onEvent?: (event: unknown) => void,
  ): Promise<Result> {
    try {
      return await ask<Result>(this.machine.socket, method, params, onEvent);
    } catch (error) {
      if (error instanceof Refused) throw error;
      const { exit, stderr } = this.machine.daemon;
      throw new Error(`${method}: ${exit === undefined ? 'the daemon runs' : describeExit(exit)}: ${stderr.slice(-2000)}`, { cause: error }); // prettier-ignore
    }
  }

  status(): Promise<ClientStatus> {
    return this.ask('status');
  }

  async set(settings: Partial<ClientSettings>): Promise<void> {
    await this.ask('set', { ...(await this.ask<ClientSettings>('settings')), ...settings });
  }

  connect(target: string | null = null, via: string | null = null): Promise<ClientStatus> {
    return this.ask('connect', { target, via, advertise: null });
  }

  /** Asks for a connection that may not come about. */
  async try(target: string | null = null): Promise<void> {
    const never = this.connect(target);
    never.catch(() => undefined);
    await this.until('the attempt', ({ state }) => state !== 'disconnected');
  }

  disconnect(): Promise<ClientStatus> {
    return this.ask('disconnect');
  }

  /** Waits until the client's state is as it is wanted. */
  until(what: string, wanted: (status: ClientStatus) => boolean): Promise<ClientStatus> {
    return until(what, async () => {
      const status = await this.status();
      return wanted(status) && status;
    });
  }

  connected(): Promise<ClientStatus> {
    return this.until('the connection', ({ state }) => state === 'connected');
  }

  /** The gateway that the traffic leaves by, once there is one: of a network left and another found the daemon hears later. */
  async exit(): Promise<GatewayName> {
    const name = (await this.connected()).hops.at(-1)?.name;
    const found = GATEWAY_NAMES.find((one) => one.toLowerCase() === name);
    if (found === undefined) throw new Error(`no gateway of the world: ${String(name)}`);
    return found;
  }

  /** Gateways that no longer answer anything, as if the way to them swallowed every packet; and back. */
  async silence(names: readonly GatewayName[]): Promise<void> {
    await this.shape(
      names.flatMap((name) => {
        const { ipv4, ipv6 } = GATEWAYS[name];
        // The control plane goes on: it is somewhere else in truth.
        return [`ip daddr ${ipv4} tcp dport != 8443 drop`, `ip daddr ${ipv4} meta l4proto != tcp drop`, `ip6 daddr ${ipv6} drop`]; // prettier-ignore
      }),
    );
  }

  /** Rules for what the routers of both access networks pass on; none: they pass on everything. */
  async shape(rules: readonly string[]): Promise<void> {
    for (const router of [this.world.home, this.world.cafe]) {
      const chain = ['type filter hook forward priority filter; policy accept;', ...rules].join('\n');
      const table = rules.length === 0 ? '' : `table inet shape {\nchain forward {\n${chain}\n}\n}\n`;
      await router.nft(`table inet shape\ndelete table inet shape\n${table}`);
    }
  }

  close(): Promise<void> {
    return this.world.laboratory.close();
  }
}
