/** A server and a client of OpenVPN in a namespace each: ours or openvpn, each with either. */
import { join } from 'node:path';
import {
  cpuSeconds,
  ping,
  residentBytes,
  until,
  wire,
  type Laboratory,
  type NetworkNamespace,
  type Process,
} from '@sallyport/netlab';
import { MALLOC, NODE_OPTIONS } from '../../apps/server/src/node-settings.ts';
import { CLIENT_OUTER, MTU, NETWORK_INNER, PORT, SERVER_INNER, SERVER_OUTER } from './addresses.ts';
import type { ClientOrder } from './client-end.ts';
import { openvpnLines, type Credentials } from './credentials.ts';
import type { ServerOrder } from './server-end.ts';

export type Whose = 'ours' | 'openvpn';
export type Transport = 'udp' | 'tcp';

export const REFERENCE = 'openvpn';
/** A figure's sides, and whose server each has. */
export const sides = [
  ['ours', 'ours'],
  ['theirs', 'openvpn'],
] as const satisfies readonly (readonly ['ours' | 'theirs', Whose])[];

const NODE = join(import.meta.dirname, '..', '..', 'scripts', 'node');

export interface Hosts {
  readonly near: NetworkNamespace;
  readonly far: NetworkNamespace;
}

export async function twoHosts(laboratory: Laboratory, label: string): Promise<Hosts> {
  const near = await laboratory.namespace(`${label}-1`);
  const far = await laboratory.namespace(`${label}-2`);
  await wire(
    { namespace: near, name: 'wire', addresses: [`${CLIENT_OUTER}/24`] },
    { namespace: far, name: 'wire', addresses: [`${SERVER_OUTER}/24`] },
  );
  return { near, far };
}

/** The processes of one end. */
export class End {
  readonly #processes: readonly Process[];

  constructor(processes: readonly Process[]) {
    this.#processes = processes;
  }

  get pids(): number[] {
    return this.#processes.map(({ pid }) => pid);
  }

  cpuSeconds(): number {
    return this.pids.reduce((sum, pid) => sum + cpuSeconds(pid), 0);
  }

  residentBytes(): number {
    return this.pids.reduce((sum, pid) => sum + residentBytes(pid), 0);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#processes.map((one) => one.stop()));
  }
}

export interface ServerSetup {
  readonly credentials: Credentials;
  readonly transport?: Transport;
  /** How often each end says that it is there, where it has nothing else to say; by default every ten seconds. */
  readonly pingSeconds?: number;
  /** A core that it is bound to. */
  readonly core?: string;
}

export async function startServer(whose: Whose, far: NetworkNamespace, setup: ServerSetup): Promise<End> {
  const { laboratory } = far;
  const { credentials, transport = 'udp', pingSeconds = 10, core } = setup;
  const bound = core === undefined ? [] : ['taskset', '--cpu-list', core];
  if (whose === 'openvpn') {
    const configuration = laboratory.file(
      'server.conf',
      [
        'dev tun0',
        'disable-dco',
        `proto ${transport === 'tcp' ? 'tcp-server' : 'udp'}`,
        `port ${String(PORT)}`,
        'topology subnet',
        `server ${NETWORK_INNER} 255.255.0.0`,
        `tun-mtu ${String(MTU)}`,
        'dh none',
        'data-ciphers AES-256-GCM',
        `keepalive ${String(pingSeconds)} ${String(6 * pingSeconds)}`,
        'duplicate-cn',
        'max-clients 16000',
        ...(transport === 'tcp'
          ? ['socket-flags TCP_NODELAY', 'push "socket-flags TCP_NODELAY"']
          : ['connect-freq-initial 1000000 1']),
        'verb 1',
        ...openvpnLines(credentials, 'server'),
        '',
      ].join('\n'),
    );
    const server = await far.start([...bound, 'openvpn', '--config', configuration]);
    await saying(server, 'Initialization Sequence Completed');
    return new End([server]);
  }
  const order: ServerOrder = { interfaceName: 'tun0', credentials, pingSeconds };
  const argv = [...bound, ...ourProgram('server-end.ts', order, laboratory, NODE_OPTIONS)];
  const server = await far.start(argv, { env: MALLOC });
  await saying(server, '\n');
  await far.address('tun0', `${SERVER_INNER}/16`);
  await far.ip('link', 'set', 'tun0', 'up');
  if (transport === 'udp') return new End([server]);
  const program = [NODE, ...NODE_OPTIONS, join(import.meta.dirname, 'stream-end.ts')];
  const stream = await far.start([...bound, ...program], { env: MALLOC });
  await saying(stream, '\n');
  return new End([server, stream]);
}

/** Connects the device 1. */
export async function startClient(
  whose: Whose,
  near: NetworkNamespace,
  credentials: Credentials,
  transport: Transport = 'udp',
): Promise<End> {
  const { laboratory } = near;
  if (whose === 'openvpn') {
    const configuration = laboratory.file(
      'client.conf',
      [
        'client',
        'dev tun0',
        'disable-dco',
        'nobind',
        `remote ${SERVER_OUTER} ${String(PORT)} ${transport === 'tcp' ? 'tcp-client' : 'udp'}`,
        `tun-mtu ${String(MTU)}`,
        'data-ciphers AES-256-GCM',
        'remote-cert-tls server',
        ...(transport === 'tcp' ? ['socket-flags TCP_NODELAY'] : []),
        'connect-retry 1 1',
        'verb 1',
        ...openvpnLines(credentials, 'client'),
        '',
      ].join('\n'),
    );
    const client = await near.start(['openvpn', '--config', configuration]);
    await saying(client, 'Initialization Sequence Completed');
    return new End([client]);
  }
  const order: ClientOrder = { interfaceName: 'tun0', credentials };
  const client = await near.start(ourProgram('client-end.ts', order, laboratory));
  const { ipv4 } = JSON.parse(await saying(client, '\n')) as { ipv4: { address: string; prefixLength: number } };
  await near.address('tun0', `${ipv4.address}/${String(ipv4.prefixLength)}`);
  await near.ip('link', 'set', 'tun0', 'up');
  return new End([client]);
}

/** A tunnel that packets pass. */
export interface Tunnel extends Hosts {
  readonly server: End;
  readonly client: End;
}

export async function openTunnel(
  laboratory: Laboratory,
  label: string,
  whose: { readonly server: Whose; readonly client: Whose },
  credentials: Credentials,
  transport: Transport = 'udp',
): Promise<Tunnel> {
  const hosts = await twoHosts(laboratory, label);
  const server = await startServer(whose.server, hosts.far, { credentials, transport });
  const client = await startClient(whose.client, hosts.near, credentials, transport);
  const answered = async (): Promise<boolean> => {
    const { received } = await ping(hosts.near, SERVER_INNER, { count: 1, waitMs: 500 });
    return received === 1;
  };
  await until('the tunnel', answered, 20_000);
  return { ...hosts, server, client };
}

/** `options` are Node's: a server is run as the service runs its own. */
export function ourProgram(
  script: string,
  order: unknown,
  laboratory: Laboratory,
  options: readonly string[] = [],
): string[] {
  return [NODE, ...options, join(import.meta.dirname, script), laboratory.file('order.json', JSON.stringify(order))];
}

/** Waits until a program has said this, and returns its output until then. */
export async function saying(program: Process, text: string, timeoutMs = 60_000): Promise<string> {
  return until(
    program.argv.join(' '),
    () => {
      if (program.exit !== undefined) throw new Error(`it ended: ${program.stdout.slice(-2000)}${program.stderr}`);
      return program.stdout.includes(text) && program.stdout;
    },
    timeoutMs,
  );
}
