import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { connect } from 'node:net';
import type { NetworkNamespace } from './namespace.ts';
import { CommandError, describeExit, PATIENCE_MS, until, type Process, type Program } from './process.ts';
import { cpuSeconds, residentBytes } from './process-tree.ts';

export interface WireGuardKeys {
  readonly privateKey: string;
  readonly publicKey: string;
}

/** A new X25519 key pair in WireGuard's base64 form. */
export function generateKeys(): WireGuardKeys {
  const { privateKey } = generateKeyPairSync('x25519');
  const jwk = privateKey.export({ format: 'jwk' });
  const base64 = (text = '') => Buffer.from(text, 'base64url').toString('base64');
  return { privateKey: base64(jwk.d), publicKey: base64(jwk.x) };
}

/** A new preshared key in WireGuard's base64 form. */
export function generatePresharedKey(): string {
  return randomBytes(32).toString('base64');
}

export interface WireGuardPeerConfiguration {
  readonly publicKey: string;
  readonly presharedKey?: string;
  readonly endpoint?: string;
  readonly allowedIps: readonly string[];
  /** In seconds. */
  readonly persistentKeepalive?: number;
}

export interface WireGuardConfiguration {
  readonly privateKey?: string;
  readonly listenPort?: number;
  readonly fwMark?: number;
  readonly peers: readonly WireGuardPeerConfiguration[];
}

/** The configuration in the format of `wg setconf`. */
export function formatConfiguration(configuration: WireGuardConfiguration): string {
  const entries = (values: Readonly<Record<string, string | number | undefined>>) =>
    Object.entries(values).flatMap(([key, value]) => (value === undefined ? [] : [`${key} = ${String(value)}`]));
  return [
    '[Interface]',
    ...entries({
      PrivateKey: configuration.privateKey,
      ListenPort: configuration.listenPort,
      FwMark: configuration.fwMark,
    }),
    ...configuration.peers.flatMap((peer) => [
      '[Peer]',
      ...entries({
        PublicKey: peer.publicKey,
        PresharedKey: peer.presharedKey,
        AllowedIPs: peer.allowedIps.join(', '),
        Endpoint: peer.endpoint,
        PersistentKeepalive: peer.persistentKeepalive,
      }),
    ]),
    '',
  ].join('\n');
}

/** The configuration as the UAPI's `set` operation, which replaces all peers. */
export function formatUapiSet(configuration: WireGuardConfiguration): string {
  const hex = (key: string | undefined) => (key === undefined ? undefined : Buffer.from(key, 'base64').toString('hex'));
  const entries = (values: readonly (readonly [string, string | number | undefined])[]) =>
    values.flatMap(([key, value]) => (value === undefined ? [] : [`${key}=${String(value)}\n`]));
  return [
    'set=1\n',
    ...entries([
      ['private_key', hex(configuration.privateKey)],
      ['listen_port', configuration.listenPort],
      ['fwmark', configuration.fwMark],
      ['replace_peers', 'true'],
    ]),
    ...configuration.peers.flatMap((peer) =>
      entries([
        ['public_key', hex(peer.publicKey)],
        ['preshared_key', hex(peer.presharedKey)],
        ['endpoint', peer.endpoint],
        ['persistent_keepalive_interval', peer.persistentKeepalive],
        ['replace_allowed_ips', 'true'],
        ...peer.allowedIps.map((prefix) => ['allowed_ip', prefix] as const),
      ]),
    ),
    '\n',
  ].join('');
}

/** A peer as `wg show NAME dump` gives it. */
export interface WireGuardPeerStatus {
  readonly publicKey: string;
  readonly hasPresharedKey: boolean;
  readonly endpoint: string | undefined;
  readonly allowedIps: readonly string[];
  /** Seconds since 1970; 0 before the first handshake. */
  readonly latestHandshake: number;
  readonly received: number;
  readonly sent: number;
  readonly persistentKeepalive: number | undefined;
}

/**
 * A WireGuard interface in a namespace, served by a program that is called as wireguard-go is: `PROGRAM --foreground
 * NAME`, and that listens for `wg` on /var/run/wireguard/NAME.sock. That folder is the same in every namespace, so the
 * interface's name must be unique on the machine.
 */
export class WireGuardDevice {
  readonly namespace: NetworkNamespace;
  readonly program: Program;
  readonly name: string;
  process: Process;

  private constructor(namespace: NetworkNamespace, program: Program, name: string, process: Process) {
    this.namespace = namespace;
    this.program = program;
    this.name = name;
    this.process = process;
  }

  /** Starts the program and waits until interface and socket are there. */
  static async start(namespace: NetworkNamespace, program: Program, label?: string): Promise<WireGuardDevice> {
    const name = label ?? namespace.laboratory.interfaceName();
    namespace.laboratory.removeAtEnd(socketPath(name));
    return new WireGuardDevice(namespace, program, name, await launch(namespace, program, name));
  }

  get socketPath(): string {
    return socketPath(this.name);
  }

  /** Starts the program again after its end. */
  async restart(): Promise<void> {
    this.process = await launch(this.namespace, this.program, this.name);
  }

  /** Kills the program and its children without a chance to clean up. */
  async crash(): Promise<void> {
    this.process.signalGroup('SIGKILL');
    await this.process.exited;
  }

  /** Runs `wg ARGS` and returns what it printed. */
  async wg(...args: readonly string[]): Promise<string> {
    return (await this.namespace.run(['wg', ...args])).stdout;
  }

  /** Runs `wg setconf` (or addconf, syncconf) with a configuration in a file that only its owner can read. */
  async configure(
    configuration: WireGuardConfiguration,
    command: 'setconf' | 'addconf' | 'syncconf' = 'setconf',
  ): Promise<void> {
    const path = this.namespace.laboratory.file(`${this.name}.conf`, formatConfiguration(configuration));
    await this.wg(command, this.name, path);
  }

  /** Configures the device over its socket, without `wg` and without a file. */
  async apply(configuration: WireGuardConfiguration): Promise<void> {
    const answer = await this.uapi(formatUapiSet(configuration));
    if (!/^errno=0$/m.test(answer)) throw new Error(`${this.name}: the device refused its configuration: ${answer}`);
  }

  /** Gives the interface addresses and sets it up. */
  async up(addresses: readonly string[], mtu?: number): Promise<void> {
    await this.namespace.address(this.name, ...addresses);
    if (mtu !== undefined) await this.namespace.ip('link', 'set', this.name, 'mtu', String(mtu));
    await this.namespace.ip('link', 'set', this.name, 'up');
  }

  async peers(): Promise<WireGuardPeerStatus[]> {
    const lines = (await this.wg('show', this.name, 'dump')).trim().split('\n').slice(1);
    return lines.map((line) => {
      const [publicKey = '', psk, endpoint = '', allowedIps = '', handshake, received, sent, keepalive] =
        line.split('\t');
      return {
        publicKey,
        hasPresharedKey: psk !== '(none)',
        endpoint: endpoint === '(none)' ? undefined : endpoint,
        allowedIps: allowedIps === '(none)' ? [] : allowedIps.split(','),
        latestHandshake: Number(handshake),
        received: Number(received),
        sent: Number(sent),
        persistentKeepalive: keepalive === 'off' ? undefined : Number(keepalive),
      };
    });
  }

  /**
   * Sends one operation of the cross-platform UAPI and returns the answer, which may come before all of the request is
   * written: a device refuses as soon as it meets something that it doesn't like.
   */
  uapi(request: string, timeoutMs = PATIENCE_MS): Promise<string> {
    return new Promise((resolve, reject) => {
      const socket = connect(this.socketPath);
      let answer = '';
      socket.setEncoding('utf8').setTimeout(timeoutMs, () => socket.destroy(new Error('UAPI: no answer')));
      socket.on('error', (error) => (answer === '' ? reject(error) : resolve(answer)));
      socket.on('close', () => resolve(answer));
      socket.on('data', (text: string) => {
        answer += text;
        if (answer.endsWith('\n\n')) socket.end();
      });
      socket.write(request);
    });
  }

  /** Whether the namespace has the interface. */
  exists(): Promise<boolean> {
    return interfaceExists(this.namespace, this.name);
  }

  cpuSeconds(): number {
    return cpuSeconds(this.process.pid);
  }

  residentBytes(): number {
    return residentBytes(this.process.pid);
  }
}

function socketPath(name: string): string {
  return `/var/run/wireguard/${name}.sock`;
}

async function launch(namespace: NetworkNamespace, program: Program, name: string): Promise<Process> {
  const argv = [...program.command, '--foreground', name];
  const started = await namespace.start(argv, program.env === undefined ? {} : { env: program.env });
  await until(`${argv.join(' ')}: the interface and its socket`, async () => {
    if (started.exit !== undefined) throw new CommandError(argv, describeExit(started.exit), started.stderr);
    return (await accepts(socketPath(name))) && interfaceExists(namespace, name);
  });
  return started;
}

async function interfaceExists(namespace: NetworkNamespace, name: string): Promise<boolean> {
  const shown = ['ip', '-n', namespace.name, 'link', 'show', name];
  return (await namespace.laboratory.run(shown, { allowFailure: true })).code === 0;
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.once('connect', () => {
      socket.destroy();
      resolve(true);
    });
    socket.once('error', () => resolve(false));
  });
}
