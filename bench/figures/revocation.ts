import { quantile } from '../statistics.ts';
import { ControlNode, eventually, openWorld, SimulatedGateway } from '../../tests/control/hub-world.ts';
import type { Figure } from '../figure.ts';

const devices = 10_000;
const gateways = 100;
const revocations = 100;

export interface RevocationOptions {
  readonly devices: number;
  readonly gateways: number;
  /** Users who are disabled, one after the other. */
  readonly revocations: number;
  readonly progress?: (text: string) => void;
}

/**
 * Disables users one by one, and takes for each and every gateway the milliseconds from the beginning of the change to
 * the moment at which the gateway has verified and applied the state without the user's device. Database, hub, links and
 * all gateways share one process, so that the gateways' work counts too, although they'd have machines of their own.
 */
export async function measureRevocation(options: RevocationOptions): Promise<readonly number[]> {
  const world = openWorld();
  const node = await ControlNode.start(world);
  const all: SimulatedGateway[] = [];
  try {
    await node.addPeople(options.devices);
    for (let at = 0; at < options.gateways; at++) {
      options.progress?.(`${String(at)} of ${String(options.gateways)} gateways have joined`);
      const gateway = SimulatedGateway.create();
      all.push(gateway);
      await gateway.connect(node.url, await node.joinToken());
    }
    await eventually('every gateway has its state', () =>
      all.every(({ state }) => state?.devices.size === options.devices),
    );
    await node.hub.whenApplied();
    const latencies: number[] = [];
    for (let at = 0; at < options.revocations; at++) {
      options.progress?.(`revocation ${String(at + 1)} of ${String(options.revocations)}`);
      const user = Math.floor((at * options.devices) / options.revocations);
      let start = 0;
      const everywhere = Promise.all(
        all.map(
          (gateway) =>
            new Promise<void>((resolve) => {
              gateway.onApplied = ({ state }) => {
                if (state?.devices.has(`d${String(user)}`) !== false) return;
                gateway.onApplied = undefined;
                latencies.push(performance.now() - start);
                resolve();
              };
            }),
        ),
      );
      start = performance.now();
      await node.setUser(`u${String(user)}`, { disabled: 1 });
      await everywhere;
    }
    return latencies;
  } finally {
    for (const gateway of all) await gateway.disconnect();
    await node.close();
    world.remove();
  }
}

/** How soon all gateways have heard that a user is disabled. */
export const revocation: Figure = {
  names: ['revocation'],
  about: `a revocation reaches ${String(gateways)} simulated gateways that serve ${String(devices)} devices`,
  timeoutMs: () => 300_000,
  async run(context) {
    const latencies = await measureRevocation({
      devices,
      gateways,
      revocations,
      progress: (text) => context.progress(text),
    });
    const common = { figure: 'revocation', unit: 'ms', reference: '', theirs: [] };
    return [
      { ...common, name: 'p50', ours: [quantile(latencies, 0.5)], goal: { of: 'ours', atMost: 1000 } },
      { ...common, name: 'p99', ours: [quantile(latencies, 0.99)], goal: { of: 'ours', atMost: 1000 } },
    ];
  },
};
