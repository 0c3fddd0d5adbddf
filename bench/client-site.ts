import { readFileSync } from 'node:fs';
import type { Laboratory } from '@sallyport/netlab';
import { ClientMachine } from '../demo/scenarios/client/machine.ts';
import { ClientService } from '../demo/scenarios/client/servers.ts';
import { buildClientWorld, type ClientWorld, type GatewayName } from '../demo/scenarios/client/world.ts';

/** The client's demonstration world with a client that is logged in. */
export interface ClientSite {
  readonly world: ClientWorld;
  readonly service: ClientService;
  readonly machine: ClientMachine;
}

export async function openClientSite(
  laboratory: Laboratory,
  others?: readonly Exclude<GatewayName, 'gatewayA'>[],
): Promise<ClientSite> {
  const world = await buildClientWorld(laboratory);
  const service = await ClientService.start(world, others);
  const machine = new ClientMachine(world.client);
  await machine.startDaemon();
  await machine.logIn(service, await service.machineToken());
  return { world, service, machine };
}

/** Bytes: pages of its own, and its share of those that several processes have (PSS). */
export function heldBytes(pid: number): number {
  const text = readFileSync(`/proc/${String(pid)}/smaps_rollup`, 'utf8');
  return Number(/^Pss:\s+(\d+) kB$/m.exec(text)?.[1] ?? NaN) * 1024;
}
