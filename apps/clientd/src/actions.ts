/** What the state machine asks for once, carried out and answered by an event. */
import type { Action } from '@sallyport/client';
import type { Daemon } from './daemon.ts';
import { looksLikePortal } from './doctor/look.ts';
import { messageOf } from './failure.ts';
import { measureGateways, probeGateway } from './gateway-probes.ts';

const PORTAL_TIMEOUT_MS = 3000;

export class Actions {
  readonly #daemon: Daemon;
  readonly #onFault: (message: string) => void;
  readonly #busy = new Set<string>();

  constructor(daemon: Daemon, onFault: (message: string) => void) {
    this.#daemon = daemon;
    this.#onFault = onFault;
  }

  /** Begins it, unless it is under way. */
  begin(action: Action): void {
    // For another account, or under another number, it is another one.
    const which = action.kind === 'probe' ? action.attempt : (this.#daemon.keeper.record?.deviceId ?? '');
    const key = `${action.kind} ${String(which)}`;
    if (this.#busy.has(key)) return;
    this.#busy.add(key);
    this.#carryOut(action)
      .catch((error: unknown) => {
        this.#onFault(`${action.kind}: ${messageOf(error)}`);
      })
      .finally(() => {
        this.#busy.delete(key);
      });
  }

  async #carryOut(action: Action): Promise<void> {
    const daemon = this.#daemon;
    const { machine, keeper } = daemon;
    // The packet filter lets it out only then.
    await daemon.inForce();
    const { configuration, session } = machine.state;
    switch (action.kind) {
      case 'fetchConfiguration':
        for (const event of await keeper.fetch()) machine.take(event);
        break;
      case 'checkPortal': {
        const { control } = keeper;
        const portal = control === undefined ? undefined : await looksLikePortal(control, PORTAL_TIMEOUT_MS);
        machine.take({ kind: 'portalChecked', portal: portal === true });
        break;
      }
      case 'measure': {
        // A gateway in use is measured by pings: it would answer beside the tunnel for a moment.
        const used = [session?.entry, session?.exit].map((hop) => hop?.gateway.id);
        const paths = action.paths.filter(({ gatewayId }) => !used.includes(gatewayId));
        const found = configuration === undefined ? {} : await measureGateways(daemon.prober(), configuration, paths);
        daemon.measured = found;
        machine.take({ kind: 'measured', latencies: found });
        break;
      }
      case 'probe': {
        const gateway = configuration?.gateways.find(({ id }) => id === action.path.gatewayId);
        const works =
          gateway !== undefined && (await probeGateway(daemon.prober(), gateway, action.path)) !== undefined;
        machine.take({ kind: 'probed', attempt: action.attempt, works });
        break;
      }
    }
  }
}
