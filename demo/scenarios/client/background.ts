import { join } from 'node:path';
import { until } from '@sallyport/netlab';
import { ACCESS, GATEWAYS, type ClientWorld } from './world.ts';

/** The traffic of traffic.ts, in the client's machine. */
export interface Traffic {
  /** Ends it; answers how often each kind was tried. */
  stop(): Promise<Readonly<Record<string, number>>>;
}

export async function startTraffic({ client }: ClientWorld): Promise<Traffic> {
  const devices = Object.values(ACCESS).map(({ device }) => device);
  const gateways = Object.values(GATEWAYS).map(({ ipv4 }) => ipv4);
  const program = join(import.meta.dirname, 'traffic.ts');
  const running = await client.start([process.execPath, program, devices.join(','), gateways.join(',')]);
  await until('the traffic', () => {
    if (running.exit !== undefined) throw new Error(running.stderr);
    return running.stdout.includes('ready');
  });
  return {
    async stop() {
      // Its children, the pings, as well.
      running.signal('SIGTERM');
      await running.end();
      running.signalGroup('SIGKILL');
      return JSON.parse(running.stdout.replace('ready\n', '')) as Record<string, number>;
    },
  };
}
