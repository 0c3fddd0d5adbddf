/** Where a user can go, and how far it is: measured by handshakes, and by pings where the tunnel is. */
import { ranked, type regionChoice } from '@sallyport/client';
import type { z } from 'zod';
import type { Daemon } from './daemon.ts';
import { DaemonFailure } from './failure.ts';

const MEASURE_TIMEOUT_MS = 6000;

export async function regionChoices(daemon: Daemon): Promise<z.infer<typeof regionChoice>[]> {
  const { machine } = daemon;
  if (daemon.keeper.record === undefined)
    throw new DaemonFailure('notLoggedIn', 'nobody is logged in: sallyport login URL');
  if (machine.state.configuration === undefined) throw new DaemonFailure('unreachable', 'the control plane did not answer yet; see "sallyport doctor"'); // prettier-ignore
  daemon.measured = {};
  machine.take({ kind: 'measure' });
  await machine.until(({ measure }) => measure === undefined, MEASURE_TIMEOUT_MS);
  const { configuration, session, latencies } = machine.state;
  if (configuration === undefined) return [];
  const measured = { ...daemon.measured };
  if (session?.entry === undefined && session?.roundTripMs !== undefined) measured[session.exit.gateway.id] = session.roundTripMs; // prettier-ignore
  return ranked(configuration, 'fastest', { ...latencies, ...measured }).map((gateway) => ({
    gatewayId: gateway.id,
    gateway: gateway.name,
    regionId: gateway.regionId,
    region: gateway.regionName,
    country: gateway.country,
    city: gateway.city,
    load: gateway.load,
    draining: gateway.draining,
    latencyMs: measured[gateway.id] ?? null,
    recommended: gateway.recommended,
  }));
}
