// Runs within a gateway's network namespace: a control plane of the tests, and the gateway's real processes beside it.
// It reads commands from its standard input, a JSON object a line, and tells what happens the same way.
import { createInterface } from 'node:readline';
import type { DevicePlan, GatewayPlan, GroupPlan } from '@sallyport/policy';
import type { GatewayConfigurationInput } from '../../apps/server/src/gateway/gateway-configuration.ts';
import { startGatewayProcesses } from '../../apps/server/src/processes.ts';
import { GATEWAY, VirtualControl } from '../agent/agent-world.ts';

export type RigCommand =
  | {
      readonly kind: 'state';
      readonly devices: readonly DevicePlan[];
      readonly groups: readonly GroupPlan[];
      readonly gateway?: Partial<GatewayPlan>;
    }
  /** What the gateway said of itself. */
  | { readonly kind: 'hello' }
  /** Takes one device away from the state that there is. */
  | { readonly kind: 'revoke'; readonly id: string }
  | { readonly kind: 'look' }
  | { readonly kind: 'stop' };

/** What its gateway's configuration says besides. */
export type RigOptions = Pick<GatewayConfigurationInput, 'amneziawgPort' | 'tls'>;

const [directory = '', interfaceName = '', uid = '', more = '{}'] = process.argv.slice(2);
const extra = JSON.parse(more) as RigOptions;
const tell = (message: object): void => {
  process.stdout.write(`${JSON.stringify(message)}\n`);
};

const control = new VirtualControl();
await control.listen();
const processes = startGatewayProcesses(
  Promise.resolve({
    interfaceName,
    listenPort: 443,
    directory,
    user: { uid: Number(uid), gid: Number(uid) },
    control: { url: control.url, joinToken: control.token },
    endpoint: { host: '' },
    ...extra,
    metrics: { host: '127.0.0.1', port: 0 },
    logLevel: 'info',
    software: 'test',
  }),
  { interfaceName, pools: [GATEWAY.pool4, GATEWAY.pool6], statePath: `/run/sallyport-test/${interfaceName}.json`, logLevel: 'info' }, // prettier-ignore
  (message) => {
    tell(message as object);
  },
);
void processes.ended.then((end) => {
  tell({ kind: 'ended', end });
  process.exit(0);
});
tell({ kind: 'started', pids: processes.pids });

let version = 0;
createInterface({ input: process.stdin }).on('line', (line) => {
  const command = JSON.parse(line) as RigCommand;
  if (command.kind === 'stop') processes.signal('SIGTERM');
  else if (command.kind === 'hello') tell({ kind: 'saidHello', hello: control.of('hello').at(-1) });
  else if (command.kind === 'look') {
    const reports = control.of('report');
    tell({ kind: 'looked', devices: reports.flatMap(({ devices }) => devices), last: reports.at(-1) ?? null });
  } else {
    if (command.kind === 'revoke') control.delta(version + 1, version, { removeDevices: [command.id] });
    else {
      const gateway = { ...GATEWAY, ...command.gateway };
      control.snapshot(version + 1, { gateway, putDevices: [...command.devices], putGroups: [...command.groups] });
    }
    const awaited = ++version;
    const timer = setInterval(() => {
      if (!control.acknowledged(awaited)) return;
      clearInterval(timer);
      tell({ kind: 'inForce', version: awaited });
    }, 2);
  }
});
