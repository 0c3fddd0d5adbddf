/** Debian's NetworkManager with its OpenVPN plug-in in a machine of the laboratory: a root and a message bus of its own. */
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { until, type NetworkNamespace, type Process, type RunOptions, type RunResult } from '@sallyport/netlab';
import { printed, unpacked } from '../unpacked.ts';

/** As scripts/unpack-peers unpacks it. */
const folder = unpacked('networkmanager-1.42');

export const skip = existsSync(join(folder, 'nmcli')) ? false : 'NetworkManager is not there: scripts/unpack-peers';

/** How the machine is connected without a VPN: a profile of NetworkManager's (nm-settings-keyfile(5)) for an interface. */
export interface Uplink {
  readonly device: string;
  /** `ADDRESS/LENGTH,GATEWAY`. */
  readonly ipv4: string;
  readonly ipv6: string;
  readonly nameServer: string;
}

/**
 * $1: where to mount the root; $2: what was unpacked. Paths are compiled into NetworkManager, so what was unpacked is the
 * root. It sees the interfaces by a /sys that can't be written to, by which it knows that there is no udev. The first
 * program in there is the message bus; the others join it.
 */
const BOOT = `
mount -t tmpfs -o mode=755 root "$1"
cd "$1"
mkdir proc sys dev dev/net run run/dbus tmp root
for name in usr bin sbin lib lib64; do
  mkdir "$name"
  mount --bind "$2/$name" "$name"
  mount -o remount,bind,ro "$name"
done
cp -a "$2/etc" "$2/var" .
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
while read -r name numbers; do mknod -m 666 "dev/$name" c $numbers; done <<END
null 1 3
zero 1 5
random 1 8
urandom 1 9
tty 5 0
net/tun 10 200
END
echo 0123456789abcdef0123456789abcdef > etc/machine-id
echo 'passwd: files
group: files
hosts: files dns' > etc/nsswitch.conf
# What the packages' scripts make.
echo 'root:x:0:0::/root:/bin/sh
messagebus:x:64100:64100::/nonexistent:/usr/sbin/nologin
nm-openvpn:x:64101:64101::/var/lib/openvpn/chroot:/usr/sbin/nologin' > etc/passwd
echo 'root:x:0:
messagebus:x:64100:
nm-openvpn:x:64101:' > etc/group
rm -rf var/run etc/NetworkManager/NetworkManager.conf
ln -s ../run var/run
cat > etc/NetworkManager/NetworkManager.conf
exec chroot "$1" /usr/bin/dbus-daemon --system --nofork --nopidfile --print-address`;

const CONFIGURATION = `[main]
plugins=keyfile
auth-polkit=false
hostname-mode=none
dns=default
rc-manager=file
systemd-resolved=false
no-auto-default=*

[connectivity]
enabled=false
`;

export class NetworkManager {
  readonly #machine: NetworkNamespace;
  readonly #bus: Process;
  #service: Process | undefined;

  private constructor(machine: NetworkNamespace, bus: Process) {
    this.#machine = machine;
    this.#bus = bus;
  }

  /** Returns when it has connected the machine by the uplink. */
  static async start(machine: NetworkNamespace, { device, ipv4, ipv6, nameServer }: Uplink): Promise<NetworkManager> {
    // Routes of others, which have no metric, would come before its own.
    await machine.ip('link', 'set', device, 'down');
    await machine.ip('address', 'flush', 'dev', device);
    const root = join(machine.laboratory.folder, `root-${machine.label}`);
    mkdirSync(root);
    const own = ['unshare', '--mount', '--uts', '--propagation', 'private', 'sh', '-ec', BOOT, 'sh', root, folder];
    const bus = await machine.start(own, { input: CONFIGURATION });
    await printed(bus, 'unix:');
    const manager = new NetworkManager(machine, bus);
    const home = [
      ...['[connection]', 'id=home', 'type=ethernet', `interface-name=${device}`],
      ...['[ipv4]', 'method=manual', `address1=${ipv4}`, `dns=${nameServer}`],
      ...['[ipv6]', 'method=manual', `address1=${ipv6}`, ''],
    ].join('\n');
    manager.write('/etc/NetworkManager/system-connections/home.nmconnection', home);
    manager.#service = await machine.start(manager.#inside(['/usr/sbin/NetworkManager', '--debug']));
    await until(
      'NetworkManager',
      async () => {
        if (manager.#service?.exit !== undefined) throw new Error(manager.log);
        return (await manager.attempt(['-g', 'GENERAL.STATE', 'connection', 'show', 'home'])).stdout === 'activated\n';
      },
      undefined,
      100,
    );
    return manager;
  }

  /** What it, its plug-in and openvpn have said. */
  get log(): string {
    return `${this.#service?.stderr ?? ''}${this.#service?.stdout ?? ''}`;
  }

  /** Runs nmcli as root in there. @throws CommandError where it fails. */
  run(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.program(['/usr/bin/nmcli', ...args], options);
  }

  attempt(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.run(args, { ...options, allowFailure: true });
  }

  program(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.#machine.run(this.#inside(argv), options);
  }

  /** `nmcli --ask connection up`: the answers to what it asks for, in turn. */
  async up(name: string, ...answers: readonly string[]): Promise<string> {
    const input = answers.map((answer) => `${answer}\n`).join('');
    // It gives up by itself after a minute.
    const { stdout } = await this.run(['--ask', 'connection', 'up', name], { input, timeoutMs: 90_000 });
    return stdout;
  }

  /** One value of a connection, as nmcli writes it: lists by commas, or by bars where they are of what is active. */
  async value(name: string, field: string): Promise<string> {
    const { stdout } = await this.run(['--escape', 'no', '-g', field, 'connection', 'show', name]);
    return stdout.trim();
  }

  /** Writes a file in there that only root can read. */
  write(path: string, text: string): void {
    writeFileSync(this.outside(path), text, { mode: 0o600 });
  }

  /** A path in there, for this process. */
  outside(path: string): string {
    return `/proc/${String(this.#bus.pid)}/root${path}`;
  }

  #inside(argv: readonly string[]): string[] {
    const enter = ['nsenter', '--target', String(this.#bus.pid), '--mount', '--uts', '--root', '--wd=/', '--'];
    return ['env', '-i', 'PATH=/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root', 'LC_ALL=C.UTF-8', ...enter, ...argv];
  }
}
