import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Socket } from 'node:net';
import { PrivilegedClient, startRestricted, type RestrictedProcess } from '@sallyport/privileged';
import type { CarrierConfiguration } from './carrier/carrier-configuration.ts';
import type { ControlConfiguration } from './control-configuration.ts';
import type { GatewayConfigurationInput } from './gateway/gateway-configuration.ts';
import type { Running } from './keep-running.ts';
import type { NamesConfiguration } from './names/names-configuration.ts';
import { MALLOC, NODE_OPTIONS } from './node-settings.ts';

/**
 * What each process may do as root until it gives that up. dac_read_search lets it load a program that lies in the home
 * of somebody else, where root is nobody special without it.
 */
const CONTROL_CAPABILITIES = ['setuid', 'setgid', 'net_bind_service', 'dac_read_search'];
const GATEWAY_CAPABILITIES = ['setuid', 'setgid', 'net_bind_service', 'net_admin', 'dac_read_search'];
/** The helper keeps its own: addresses, routes, nft and conntrack take net_admin. */
const HELPER_CAPABILITIES = ['net_admin', 'dac_read_search'];

/** The carrier opens nothing but its ports. */
const CARRIER_CAPABILITIES = ['setuid', 'setgid', 'net_bind_service', 'dac_read_search'];

/** The name server as little: port 53 of the gateway's addresses. */
const NAMES_CAPABILITIES = ['setuid', 'setgid', 'net_bind_service', 'dac_read_search'];

/** The descriptors of the streams, in the order in which they are handed over. */
const HELPER_FD = 4;

export interface Started extends Running {
  readonly pids: Readonly<Record<string, number>>;
  /** To the process that reports. */
  send(message: object): void;
}

/** Starts the control plane's process. */
export function startControlProcess(
  configuration: ControlConfiguration,
  onMessage: (message: unknown) => void,
): Started {
  return startAlone(
    'control',
    new URL('./control-process.ts', import.meta.url),
    CONTROL_CAPABILITIES,
    configuration,
    onMessage,
  );
}

/** Starts a process that lives and ends by itself. */
function startAlone(
  name: string,
  module: URL,
  capabilities: readonly string[],
  configuration: object,
  onMessage?: (message: unknown) => void,
): Started {
  const { child, ended } = startRestricted({
    module: fileURLToPath(module),
    capabilities,
    configuration,
    environment: environment(),
    nodeOptions: NODE_OPTIONS,
    streams: ['ipc'],
  });
  if (onMessage !== undefined) child.on('message', onMessage);
  return {
    pids: pidsOf({ [name]: child }),
    ended,
    signal: (signal) => void child.kill(signal),
    send: (message) => {
      send(child, message);
    },
  };
}

/**
 * Starts the gateway's process and its helper, which live and end together. They load their program before the
 * configuration is there.
 */
export function startGatewayProcesses(
  configuration: Promise<Omit<GatewayConfigurationInput, 'helperFd'>>,
  helperConfiguration: object,
  onMessage: (message: unknown) => void,
): Started {
  const helper = startHelper(helperConfiguration);
  const gateway = startRestricted({
    module: fileURLToPath(new URL('./gateway/gateway-process.ts', import.meta.url)),
    capabilities: GATEWAY_CAPABILITIES,
    configuration: configuration.then((given): GatewayConfigurationInput => ({ ...given, helperFd: HELPER_FD })),
    environment: environment(),
    nodeOptions: NODE_OPTIONS,
    streams: ['ipc', streamOf(helper)],
  });
  gateway.child.on('message', onMessage);
  return {
    pids: pidsOf({ gateway: gateway.child, helper: helper.child }),
    // The helper takes away what it set up once the gateway's end of their stream is closed.
    ended: gateway.ended.then(async (end) => {
      await helper.ended;
      return end;
    }),
    signal: (signal) => {
      gateway.child.kill(signal);
      if (signal === 'SIGKILL') helper.child.kill(signal);
    },
    send: (message) => {
      send(gateway.child, message);
    },
  };
}

/** Starts the gateway's end of the tunnel over TLS. */
export function startCarrierProcess(
  configuration: CarrierConfiguration,
  onMessage: (message: unknown) => void,
): Started {
  return startAlone(
    'carrier',
    new URL('./carrier/carrier-process.ts', import.meta.url),
    CARRIER_CAPABILITIES,
    configuration,
    onMessage,
  );
}

/** Starts the gateway's name server. */
export function startNamesProcess(configuration: NamesConfiguration): Started {
  return startAlone('names', new URL('./names/names-process.ts', import.meta.url), NAMES_CAPABILITIES, configuration);
}

function environment(): Record<string, string> {
  const cache = process.env['NODE_COMPILE_CACHE'];
  return { ...(cache !== undefined && { NODE_COMPILE_CACHE: cache }), ...MALLOC };
}

function startHelper(configuration: object): RestrictedProcess {
  return startRestricted({
    module: fileURLToPath(new URL('./helper-process.ts', import.meta.url)),
    capabilities: HELPER_CAPABILITIES,
    configuration,
    environment: environment(),
    nodeOptions: NODE_OPTIONS,
    streams: ['pipe'],
  });
}

function streamOf({ streams: [stream] }: RestrictedProcess): Socket {
  if (stream === undefined) throw new Error('the helper was started without a stream');
  return stream;
}

function send(child: ChildProcess, message: object): void {
  // A process that ends meanwhile is started again with what is current then.
  if (child.connected) child.send(message, () => undefined);
}

function pidsOf(children: Readonly<Record<string, ChildProcess>>): Record<string, number> {
  return Object.fromEntries(
    Object.entries(children).flatMap(([name, { pid }]) => (pid === undefined ? [] : [[name, pid]])),
  );
}

/** Takes away what a gateway that was killed has left: packet filter, routes, settings of the kernel. */
export async function tearDown(helperConfiguration: object): Promise<void> {
  const helper = startHelper(helperConfiguration);
  const client = new PrivilegedClient(streamOf(helper));
  try {
    const { error } = await client.request({ kind: 'tearDown' });
    if (error !== undefined) throw new Error(error.message);
  } finally {
    client.close();
    await helper.ended;
  }
}
