import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Capture } from './capture.ts';
import type { Laboratory, RunOptions, RunResult } from './laboratory.ts';
import { until, type Process, type StartOptions } from './process.ts';

/** One end of a wire: the interface's name and its addresses with prefix lengths, of either family. */
export interface WireEnd {
  readonly namespace: NetworkNamespace;
  readonly name: string;
  readonly addresses: readonly string[];
}

/** A named network namespace and the commands that are given in it. */
export class NetworkNamespace {
  readonly laboratory: Laboratory;
  readonly name: string;
  readonly label: string;
  /** A process in the mounts that programs are started in. */
  #mounts: Process | undefined;

  constructor(laboratory: Laboratory, name: string, label: string) {
    this.laboratory = laboratory;
    this.name = name;
    this.label = label;
  }

  run(argv: readonly string[], options?: RunOptions): Promise<RunResult> {
    return this.laboratory.run(this.#inside(argv), options);
  }

  /** Starts a program in the background. The returned process is the program itself: `ip netns exec` execs it. */
  start(argv: readonly string[], options?: StartOptions): Promise<Process> {
    return this.laboratory.start(this.#inside(argv), options);
  }

  #inside(argv: readonly string[]): string[] {
    if (this.#mounts === undefined) return ['ip', 'netns', 'exec', this.name, ...argv];
    const mounts = `--mount=/proc/${String(this.#mounts.pid)}/ns/mnt`;
    return ['nsenter', `--net=/run/netns/${this.name}`, mounts, '--', ...argv];
  }

  /**
   * Gives programs that are started from now on an /etc and a /run of their own, which this machine does not see: /etc is a
   * copy of what they had, links and all, and /run is empty.
   */
  async ownFolders(): Promise<void> {
    const script = `
      mount -t tmpfs own /run
      cp -a /etc /run/etc
      mount --bind /run/etc /etc
      echo ready
      exec sleep infinity`;
    const holder = await this.start(['unshare', '--mount', '--propagation', 'private', 'sh', '-ec', script]);
    await until('folders of its own', () => {
      if (holder.exit !== undefined) throw new Error(holder.stderr);
      return holder.stdout.includes('ready');
    });
    this.#mounts = holder;
  }

  async ip(...args: readonly string[]): Promise<string> {
    return (await this.laboratory.run(['ip', '-n', this.name, ...args])).stdout;
  }

  /** Several commands of ip(8) in one process: worlds are built of hundreds. */
  async batch(...commands: readonly string[]): Promise<void> {
    await this.laboratory.run(['ip', '-n', this.name, '-batch', '-'], { input: `${commands.join('\n')}\n` });
  }

  async sysctl(values: Readonly<Record<string, number | string>>): Promise<void> {
    const lines = Object.entries(values).map(([key, value]) => `${key.replaceAll('.', '/')} ${String(value)}\n`);
    const script = 'while read -r key value; do echo "$value" > "/proc/sys/$key" || exit; done';
    await this.run(['sh', '-c', script], { input: lines.join('') });
  }

  /** Adds addresses with prefix lengths; IPv6 ones are usable at once. */
  async address(name: string, ...addresses: readonly string[]): Promise<void> {
    await this.batch(...addressCommands(name, addresses));
  }

  /** Routes of either family: `default` must be given as 0.0.0.0/0 or ::/0. */
  async route(destination: string, ...args: readonly string[]): Promise<void> {
    await this.ip(destination.includes(':') ? '-6' : '-4', 'route', 'replace', destination, ...args);
  }

  /** The addresses of an interface with global scope, without their prefix lengths. */
  async addressesOf(name: string): Promise<{ ipv4: string[]; ipv6: string[] }> {
    const shown = JSON.parse(await this.ip('-json', 'address', 'show', 'dev', name, 'scope', 'global')) as {
      addr_info?: { family?: string; local?: string }[];
    }[];
    const all = shown.flatMap(({ addr_info: addresses }) => addresses ?? []);
    const of = (wanted: string) => all.flatMap(({ family, local }) => (family === wanted ? [local ?? ''] : []));
    return { ipv4: of('inet'), ipv6: of('inet6') };
  }

  /** Whether a UDP socket of either family is bound to the port. */
  async listensOnUdp(port: number): Promise<boolean> {
    const { stdout } = await this.run(['cat', '/proc/net/udp', '/proc/net/udp6']);
    return stdout.includes(`:${port.toString(16).toUpperCase().padStart(4, '0')} `);
  }

  /** Forwards packets of both families. */
  forward(): Promise<void> {
    return this.sysctl({ 'net.ipv4.ip_forward': 1, 'net.ipv6.conf.all.forwarding': 1 });
  }

  async nft(rules: string): Promise<void> {
    await this.run(['nft', '-f', '-'], { input: rules });
  }

  /** Packets of both families that leave by the interface `name` carry its address. */
  masquerade(name: string): Promise<void> {
    return this.nft(
      `table inet netlab {
        chain postrouting {
          type nat hook postrouting priority srcnat; policy accept;
          oifname "${name}" masquerade
        }
      }\n`,
    );
  }

  /** Gives programs that are started from now on a file of their own in the place of /etc/NAME; returns its path outside. */
  etc(name: string, text: string): string {
    const folder = join('/etc/netns', this.name);
    mkdirSync(folder, { recursive: true });
    const path = join(folder, name);
    writeFileSync(path, text);
    return path;
  }

  /** Captures all that passes the interface until `Capture.stop`. */
  capture(name: string): Promise<Capture> {
    return Capture.start(this, name);
  }
}

let nextIndex = 1000;

/** Joins two namespaces by a veth pair, both ends up. */
export async function wire(a: WireEnd, b: WireEnd, mtu = 1500): Promise<void> {
  // Ends with the same index make the kernel take its time, up to a second, before it lets IPv6 pass.
  const settings = () => ['index', String(nextIndex++), 'mtu', String(mtu)];
  const peer = ['type', 'veth', 'peer', 'name', b.name, 'netns', b.namespace.name, ...settings()];
  await a.namespace.ip('link', 'add', a.name, ...settings(), ...peer);
  const bringUp = ({ namespace, name, addresses }: WireEnd): Promise<void> =>
    namespace.batch(...addressCommands(name, addresses), `link set ${name} up`);
  await Promise.all([a, b].map(bringUp));
}

function addressCommands(name: string, addresses: readonly string[]): string[] {
  return addresses.map((address) => `address add ${address} dev ${name}${address.includes(':') ? ' nodad' : ''}`);
}
