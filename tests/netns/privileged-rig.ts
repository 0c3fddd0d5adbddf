/** A gateway's network without the tunnel: `devices` are at its interface `tun9`, `inside` are the networks behind it. */
import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import type { Socket } from 'node:net';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { Laboratory, wire } from '@sallyport/netlab';
import type { NetworkNamespace } from '@sallyport/netlab';
import type { FirewallDevice, FirewallPlan, GroupPlan } from '@sallyport/policy';
import { PrivilegedClient } from '@sallyport/privileged';
import type { Notice } from '@sallyport/privileged';

export const INTERFACE = 'tun9';
/** Whose packets reach networks behind devices. */
export const NAMES_UID = 64_125;
export const POOL4 = '10.77.0.0/16';
export const POOL6 = 'fd77::/64';
/** Group `staff` reaches the first, nobody the second. */
export const ALLOWED = { 4: '198.51.100.9', 6: '2001:db8:a::9' } as const;
export const FORBIDDEN = { 4: '203.0.113.9', 6: '2001:db8:f::9' } as const;

const HELPER = fileURLToPath(new URL('./privileged-helper.ts', import.meta.url));

export interface Rig {
  readonly laboratory: Laboratory;
  readonly devices: NetworkNamespace;
  readonly gateway: NetworkNamespace;
  readonly inside: NetworkNamespace;
}

export async function buildRig(): Promise<Rig> {
  const laboratory = Laboratory.open();
  const [devices, gateway, inside] = [
    await laboratory.namespace('devices'),
    await laboratory.namespace('gateway'),
    await laboratory.namespace('inside'),
  ];
  await wire(
    { namespace: devices, name: 'up0', addresses: ['10.77.0.2/16', 'fd77::2/64', '10.77.0.3/16', 'fd77::3/64'] },
    { namespace: gateway, name: INTERFACE, addresses: [] },
  );
  // A tunnel knows no neighbour discovery, and the packet filter lets none in.
  for (const [namespace, name, peer, peerName, addresses] of [
    [devices, 'up0', gateway, INTERFACE, ['10.77.0.1', 'fd77::1']],
    [gateway, INTERFACE, devices, 'up0', ['10.77.0.2', 'fd77::2', '10.77.0.3', 'fd77::3']],
  ] as const) {
    const [link] = JSON.parse(await peer.ip('-json', 'link', 'show', peerName)) as [{ address: string }];
    for (const address of addresses)
      await namespace.ip('neigh', 'replace', address, 'lladdr', link.address, 'dev', name, 'nud', 'permanent');
  }
  await wire(
    { namespace: gateway, name: 'lan0', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
    { namespace: inside, name: 'lan0', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
  );
  for (const target of [ALLOWED, FORBIDDEN]) {
    await inside.address('lo', `${target[4]}/32`, `${target[6]}/128`);
    await gateway.route(`${target[4]}/32`, 'via', '192.0.2.2');
    await gateway.route(`${target[6]}/128`, 'via', '2001:db8::2');
  }
  for (const destination of ['0.0.0.0/0', '::/0'])
    await devices.route(destination, 'via', destination.includes(':') ? 'fd77::1' : '10.77.0.1');
  // Reverse path filters are on at most distributions' machines; the gateway's own routing rules must bear with them.
  await gateway.sysctl({ 'net.ipv4.conf.lan0.rp_filter': 1 });
  // Whoever is inside knows a way to the devices: nothing but the gateway keeps its packets away.
  await inside.route(POOL4, 'via', '192.0.2.1');
  await inside.route(POOL6, 'via', '2001:db8::1');
  return { laboratory, devices, gateway, inside };
}

export interface Helper {
  readonly child: ChildProcess;
  readonly client: PrivilegedClient;
  readonly notices: (Notice & { readonly at: number })[];
  readonly commands: string[];
  readonly ended: Promise<number | null>;
}

/** Starts the privileged process in the gateway's namespace; several may follow one another. */
export function startHelper({ laboratory, gateway }: Rig): Helper {
  const statePath = join(laboratory.folder, 'privileged.json');
  const argv = [
    'netns',
    'exec',
    gateway.name,
    process.execPath,
    HELPER,
    INTERFACE,
    statePath,
    String(NAMES_UID),
    POOL4,
    POOL6,
  ];
  const child = spawn('ip', argv, { stdio: ['ignore', 'pipe', 'inherit', 'pipe'] });
  const notices: Helper['notices'] = [];
  const commands: string[] = [];
  createInterface({ input: child.stdout as NodeJS.ReadableStream }).on('line', (line) => {
    const told = JSON.parse(line) as { notice?: Notice; at: number; command?: string };
    if (told.notice !== undefined) notices.push({ ...told.notice, at: told.at });
    if (told.command !== undefined) commands.push(told.command);
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  return { child, client: new PrivilegedClient(child.stdio[3] as Socket), notices, commands, ended };
}

export const staff: GroupPlan = {
  id: 'staff',
  grants: [`${ALLOWED[4]}/32`, `${ALLOWED[6]}/128`].map((prefix) => ({
    rule: 'staff-inside',
    destination: { kind: 'network', prefix },
    protocol: 'any',
    ports: [],
  })),
};

export function device(number: number, groups: readonly string[]): FirewallDevice {
  return { id: `device-${String(number)}`, ipv4: `10.77.0.${String(number)}`, ipv6: `fd77::${String(number)}`, groups };
}

export function plan(devices: readonly FirewallDevice[], groups: readonly GroupPlan[] = [staff]): FirewallPlan {
  return {
    interfaceName: INTERFACE,
    gateway: { pool4: POOL4, pool6: POOL6, address4: '10.77.0.1', address6: 'fd77::1', egress: {} },
    ownAddresses: ['192.0.2.1', '2001:db8::1'],
    localTcpPorts: [],
    groups,
    devices,
    names: {},
  };
}

/** What configures the interface as the gateway does. */
export const configuration = {
  kind: 'configureInterface',
  addresses: ['10.77.0.1/16', 'fd77::1/64'],
  routes: [POOL4, POOL6],
  mtu: 1420,
} as const;

export async function reaches(from: NetworkNamespace, to: string, source?: string): Promise<boolean> {
  const sourceArguments = source === undefined ? [] : ['-I', source];
  const argv = ['ping', '-n', '-c', '1', '-W', '1', ...sourceArguments, to];
  return (await from.run(argv, { allowFailure: true })).code === 0;
}
