import { chmodSync } from 'node:fs';
import { join } from 'node:path';
import { until, type Process } from '@sallyport/netlab';
import { announced } from '../../announced.ts';
import { sallyport, type Person } from './person.ts';
import { ADDRESSES, controlPort, type ServiceWorld } from './world.ts';

/** What `sallyport server --json` says once it is ready, as far as it matters here. */
interface Announcement {
  readonly control: { readonly url: string; readonly fingerprint: string | null; readonly setupUrl: string | null };
  readonly processes: Readonly<Record<'supervisor' | 'control' | 'helper' | 'gateway', number>>;
}

export interface RunningService {
  readonly process: Process;
  readonly folder: string;
  readonly url: string;
  /** The one-time link for the first administrator. */
  readonly link: string;
  readonly fingerprint: string;
  /** Process identifiers. */
  readonly processes: Announcement['processes'];
  readonly readyMilliseconds: number;
}

/** Starts control plane and gateway on gateway 1, as `npm start -- --data DIR --listen ADDRESS` does. */
export async function startService(
  world: ServiceWorld,
  settings: { readonly folder?: string; readonly configuration?: string } = {},
): Promise<RunningService> {
  const folder = settings.folder ?? join(world.laboratory.folder, 'gateway1');
  // The processes that keep their data there are not root: they must be able to pass.
  chmodSync(world.laboratory.folder, 0o711);
  const started = performance.now();
  const args = ['--data', folder, '--listen', `${ADDRESSES.gateway1.endpoint}:${String(controlPort)}`, '--json'];
  if (settings.configuration !== undefined)
    args.push('--config', world.laboratory.file('sallyport.toml', settings.configuration));
  const process = await world.gateway1.start([sallyport, 'server', ...args]);
  const announcement = await announced<Announcement>('gateway 1', process);
  return {
    process,
    folder,
    url: announcement.control.url,
    link: announcement.control.setupUrl ?? '',
    fingerprint: announcement.control.fingerprint ?? '',
    processes: announcement.processes,
    readyMilliseconds: Math.round(performance.now() - started),
  };
}

/** Lets gateway 2 join by a one-time token, in a region of its own, and waits until it is healthy. */
export async function joinGateway(world: ServiceWorld, { url }: RunningService, admin: Person): Promise<Process> {
  await admin.run(['region', 'create', 'norway', 'Norway']);
  const { token } = await admin.json<{ token: string }>(['join-token', 'create', '--region-id', 'norway']);
  const process = await runGateway(world, { url, token });
  await until('the second gateway', async () => {
    const { items } = await admin.json<{ items: { name: string; health: string }[] }>(['gateway', 'list']);
    return items.some(({ name, health }) => name === 'oslo' && health === 'healthy');
  });
  return process;
}

/** Runs gateway 2, which joins where it is given a token and goes on with what it has otherwise; returns when it is ready. */
export async function runGateway(
  world: ServiceWorld,
  joining?: { readonly url: string; readonly token: string },
): Promise<Process> {
  const configuration = [
    `data = ${JSON.stringify(join(world.laboratory.folder, 'gateway2'))}`,
    '[gateway]',
    'name = "oslo"',
    'country = "NO"',
    'city = "Oslo"',
    `public_address = "${ADDRESSES.gateway2.endpoint}"`,
    '',
  ].join('\n');
  const options = ['--config', world.laboratory.file('gateway2.toml', configuration), '--json'];
  const process = await (joining === undefined
    ? world.gateway2.start([sallyport, 'gateway', 'run', ...options])
    : world.gateway2.start([sallyport, 'gateway', 'join', joining.url, '-', ...options], { input: joining.token }));
  await announced('gateway 2', process);
  return process;
}
