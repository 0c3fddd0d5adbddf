// A gateway that speaks OpenVPN, and Debian's openvpn as its client, each in a namespace, a router between them.
import assert from 'node:assert/strict';
import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createConnection } from 'node:net';
import { fileURLToPath } from 'node:url';
import {
  iperf,
  ping,
  until,
  upTo,
  wire,
  withLaboratory,
  type Laboratory,
  type NetworkNamespace,
  type Process,
  type RunOptions,
} from '@sallyport/netlab';
import { encodeStateKey } from '@sallyport/link';
import { formatTlsCryptV2ClientKey, METADATA_USER, wrapClientKey } from '@sallyport/openvpn';
import { nodeOpenVpnCrypto } from '@sallyport/openvpn-plane';
import type { DevicePlan, GatewayPlan, OpenVpnDevice, OpenVpnGateway } from '@sallyport/policy';
import { TestAuthority, type Issued } from '../openvpn/authority.ts';
import type { Command, GatewayStart, Observed } from './openvpn-gateway-child.ts';

const CHILD = fileURLToPath(new URL('openvpn-gateway-child.ts', import.meta.url));
const NODE = fileURLToPath(new URL('../../scripts/node', import.meta.url));

export const PORT = 1194;
/** The gateway's, in the tunnel. */
export const INNER4 = '10.77.0.1';
export const INNER6 = 'fd77::1';
export const OUTER4 = '192.0.2.1';
export const OUTER6 = '2001:db8:1::1';
const MTU = 1420;

export interface TestDevice {
  readonly plan: DevicePlan;
  readonly issued: Issued | undefined;
  /** The block of its tls-crypt-v2 key. */
  readonly clientKey: string;
}

/** What the control plane would have. */
export class TestService {
  readonly authority: TestAuthority;
  readonly server: Issued;
  readonly serverKey = new Uint8Array(randomBytes(128));
  /** What login tokens are signed with. */
  readonly tokenKey = generateKeyPairSync('ed25519').privateKey;
  #devices = 0;

  private constructor(authority: TestAuthority, server: Issued) {
    this.authority = authority;
    this.server = server;
  }

  static async make(): Promise<TestService> {
    const authority = await TestAuthority.make();
    return new TestService(authority, await authority.issue('sallyport-gateway-1', { usage: 'server' }));
  }

  plan(more: Partial<OpenVpnGateway> = {}): GatewayPlan {
    return {
      id: 'gateway',
      name: 'gateway',
      pool4: '10.77.0.0/16',
      pool6: 'fd77::/64',
      address4: INNER4,
      address6: INNER6,
      egress: {},
      draining: false,
      openvpn: {
        authority: this.authority.certificate,
        certificate: this.server.certificate,
        clientKey: Buffer.from(this.serverKey).toString('base64'),
        tokenKey: encodeStateKey(this.tokenKey),
        dataCiphers: ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305'],
        push: [],
        ...more,
      },
    };
  }

  /** A device that may connect: by a certificate, or by user name and password without one. */
  async device(
    login: OpenVpnDevice['login'] = 'certificate',
    options: { userName?: string; days?: number; withCertificate?: boolean } = {},
  ): Promise<TestDevice> {
    const { userName = 'alice', days, withCertificate = login === 'certificate' } = options;
    const number = ++this.#devices;
    const id = `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
    const issued = withCertificate
      ? await this.authority.issue(id, { usage: 'client', ...(days !== undefined && { days }) })
      : undefined;
    const key = new Uint8Array(randomBytes(256));
    const metadata = Uint8Array.of(METADATA_USER, ...Buffer.from(id));
    const wrappedKey = wrapClientKey(nodeOpenVpnCrypto, this.serverKey, key, metadata);
    return {
      plan: {
        id,
        ipv4: `10.77.0.${String(10 + number)}`,
        ipv6: `fd77::${String(10 + number)}`,
        groups: [],
        openvpn: {
          certificates: issued === undefined ? [] : [issued.sha256],
          login,
          userName,
          ...(login === 'certificate' ? {} : { loginEpoch: 'e' }),
        },
      },
      issued,
      clientKey: formatTlsCryptV2ClientKey({ key, wrappedKey }),
    };
  }

  profile({ issued, clientKey, plan }: TestDevice, remote: string, lines: readonly string[] = []): string {
    const block = (name: string, text: string): string => `<${name}>\n${text.trim()}\n</${name}>`;
    return [
      'client',
      'dev tun',
      'nobind',
      `remote ${remote} ${String(PORT)} ${remote.includes(':') ? 'udp6' : 'udp'}`,
      'remote-cert-tls server',
      'verify-x509-name sallyport-gateway- name-prefix',
      'auth SHA256',
      'verb 4',
      'connect-retry 1 1',
      ...(plan.openvpn?.login === 'password' ? ['auth-user-pass'] : []),
      ...lines,
      block('ca', this.authority.certificate),
      ...(issued === undefined ? [] : [block('cert', issued.certificate), block('key', issued.privateKey.reveal())]),
      block('tls-crypt-v2', clientKey),
      '',
    ].join('\n');
  }
}

/** The gateway at work. */
export class RunningGateway {
  readonly namespace: NetworkNamespace;
  readonly interfaceName: string;
  readonly process: Process;
  readonly #socket: string;

  constructor(namespace: NetworkNamespace, interfaceName: string, process: Process, socket: string) {
    this.namespace = namespace;
    this.interfaceName = interfaceName;
    this.process = process;
    this.#socket = socket;
  }

  /** Asks, and returns the answer. */
  async ask<T = unknown>(command: Command): Promise<T> {
    const socket = createConnection(this.#socket);
    try {
      await once(socket, 'connect');
      socket.write(`${JSON.stringify(command)}\n`);
      let text = '';
      socket.setEncoding('utf8').on('data', (part: string) => (text += part));
      await until('the gateway: an answer', () => text.endsWith('\n'));
      return JSON.parse(text) as T;
    } finally {
      socket.destroy();
    }
  }
}

export interface OpenVpnRig {
  readonly laboratory: Laboratory;
  readonly service: TestService;
  readonly server: NetworkNamespace;
  readonly router: NetworkNamespace;
  readonly client: NetworkNamespace;
  startGateway(options: Partial<Pick<GatewayStart, 'plan' | 'devices' | 'logins' | 'web'>>): Promise<RunningGateway>;
  /** Starts openvpn, the system's or `program`, with this profile; it is not waited for. */
  startClient(profile: string, options?: RunOptions & { readonly program?: string }): Promise<Process>;
}

/** Builds it all, hands it to `use` and removes everything. */
export function withOpenVpnRig(use: (rig: OpenVpnRig) => Promise<void>): Promise<void> {
  return withLaboratory(async (laboratory) => {
    const service = await TestService.make();
    const [server, router, client] = await Promise.all(
      ['server', 'router', 'client'].map((label) => laboratory.namespace(label)),
    );
    await router.forward();
    await wire(
      { namespace: server, name: 'uplink', addresses: [`${OUTER4}/24`, `${OUTER6}/64`] },
      { namespace: router, name: 'to-server', addresses: ['192.0.2.254/24', '2001:db8:1::fe/64'] },
    );
    await wire(
      { namespace: client, name: 'uplink', addresses: ['198.51.100.1/24', '2001:db8:2::1/64'] },
      { namespace: router, name: 'to-client', addresses: ['198.51.100.254/24', '2001:db8:2::fe/64'] },
    );
    for (const [namespace, four, six] of [
      [server, '192.0.2.254', '2001:db8:1::fe'],
      [client, '198.51.100.254', '2001:db8:2::fe'],
    ] as const) {
      await namespace.route('0.0.0.0/0', 'via', four);
      await namespace.route('::/0', 'via', six);
    }
    await use({
      laboratory,
      service,
      server,
      router,
      client,
      startGateway: (options) => startGateway(laboratory, service, server, options),
      startClient: (profile, { program = 'openvpn', ...options } = {}) =>
        client.start([program, '--config', laboratory.file('client.ovpn', profile)], options),
    });
  });
}

async function startGateway(
  laboratory: Laboratory,
  service: TestService,
  namespace: NetworkNamespace,
  { plan = service.plan(), devices = [], logins = {}, web }: Partial<GatewayStart>,
): Promise<RunningGateway> {
  const interfaceName = laboratory.interfaceName();
  const socket = laboratory.file('control', '');
  laboratory.removeAtEnd(`${socket}.sock`);
  const start: GatewayStart = {
    interfaceName,
    openvpnPort: PORT,
    mtu: MTU,
    privateKey: service.server.privateKey.reveal(),
    tokenKey: service.tokenKey.export({ type: 'pkcs8', format: 'pem' }),
    socket: `${socket}.sock`,
    plan,
    devices,
    logins,
    ...(web !== undefined && { web }),
  };
  const child = await namespace.start([NODE, CHILD, laboratory.file('gateway.json', JSON.stringify(start))]);
  await until('the gateway: started', () => {
    assert.equal(child.exit, undefined, child.stderr);
    return child.stdout.includes('started');
  });
  await namespace.address(interfaceName, `${INNER4}/16`, `${INNER6}/64`);
  await namespace.ip('link', 'set', interfaceName, 'up');
  return new RunningGateway(namespace, interfaceName, child, start.socket);
}

/**
 * Neither end had a packet that no key of its own opened. That it repeats what was answered late is no fault, nor that it asks
 * for the next keys before these are agreed on.
 */
export async function assertKeysServed(gateway: RunningGateway, client: Process): Promise<void> {
  const { drops } = await gateway.ask<Observed>({ kind: 'observe' });
  assert.deepEqual({ ...drops, replayed: 0, rateLimited: 0 }, { replayed: 0, rateLimited: 0 });
  assert.doesNotMatch(
    client.stdout,
    /packet decryption error|decrypt packet error|cipher final failed|keys are out of sync/i,
  );
}

/**
 * Pings and datagrams from the client together, for as long as the pings take: hardly any are lost, in one of three tries at
 * least, for a machine that is full loses some on the way.
 */
export async function assertPassesUnderLoad(
  { client, server }: OpenVpnRig,
  address: string,
  { pings: count, bitsPerSecond }: { readonly pings: number; readonly bitsPerSecond: number },
): Promise<void> {
  const udp = { bytes: 1200, bitsPerSecond };
  const run = () =>
    Promise.all([
      ping(client, address, { count, intervalMs: 20, waitMs: 3000 }),
      iperf({ client, server, address }, { seconds: count / 50, udp }),
    ]);
  // The datagrams of one key of three or four would be more.
  const holds = ([pings, load]: Awaited<ReturnType<typeof run>>): boolean =>
    pings.received >= count - 15 && load.lostFraction < 0.2;
  const found = await upTo(3, run, holds);
  assert.ok(holds(found), `lost ${String(found[1].lostFraction)}; ${found[0].output.slice(-300)}`);
}

/** Until openvpn says that it is connected; where it ends or takes too long its log is in the error. */
export async function connected(client: Process, times = 1): Promise<void> {
  await saying(client, 'Initialization Sequence Completed', times);
}

/** Until openvpn has said this as many times. */
export async function saying(client: Process, text: string | RegExp, times = 1): Promise<void> {
  const pattern = typeof text === 'string' ? text : new RegExp(text, 'g');
  const count = (): number =>
    typeof pattern === 'string' ? client.stdout.split(pattern).length - 1 : [...client.stdout.matchAll(pattern)].length;
  try {
    await until(`openvpn: ${String(text)}`, () => {
      if (count() >= times) return true;
      assert.equal(client.exit, undefined, 'openvpn has ended');
      return false;
    });
  } catch (cause) {
    throw new Error(`${(cause as Error).message}\n${client.stdout.slice(-6000)}\n${client.stderr}`, { cause });
  }
}
