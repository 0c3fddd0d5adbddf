/** A machine that systemd runs, as process 1 of namespaces and a root of its own, with this checkout in /opt/sallyport. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until, type NetworkNamespace, type Process, type RunOptions, type RunResult } from '@sallyport/netlab';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const SYSTEMD = '/lib/systemd/systemd';
const hierarchy = readFileSync('/proc/mounts', 'utf8').split('\n').flatMap((line) => /^\S+ (\S+) cgroup2 /.exec(line)?.[1] ?? [])[0]; // prettier-ignore

export const skip = !existsSync(SYSTEMD) ? 'there is no systemd' : hierarchy === undefined ? 'there is no cgroup2' : false; // prettier-ignore

/**
 * Nothing of the machine that this runs on can be changed from in there: systemd cleans /tmp, writes to /dev and /var and
 * sets the kernel up when it starts. So its root is new, what it has of the real one is read-only, and it begins only
 * after it has looked whether that is so. $1: where to mount the root; $2: a folder that outlives it, for /etc and /var.
 */
const BOOT = `
set -eu
mount --make-rprivate /
mount -t tmpfs -o mode=755 root "$1"
cd "$1"
mkdir usr run tmp proc sys dev etc var old root home opt opt/sallyport
for link in bin sbin lib lib64; do ln -s "usr/$link" "$link"; done
read_only() { mount --bind "$1" "$2"; mount -o remount,bind,ro "$2"; }
read_only /usr usr
read_only '${repository}' opt/sallyport
cp -a "$2/etc" "$2/var" .
mount -t tmpfs -o mode=755 run run
mount -t tmpfs -o mode=1777 tmp tmp
mount -t proc proc proc
mount -t sysfs -o ro sysfs sys
mount -t cgroup2 cgroup2 sys/fs/cgroup
mount -t tmpfs -o mode=755 dev dev
mkdir dev/net dev/pts dev/shm
while read -r name numbers; do mknod -m 666 "dev/$name" c $numbers; done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
net/tun 10 200
END
mount -t devpts -o newinstance,ptmxmode=666 devpts dev/pts
ln -s pts/ptmx dev/ptmx
mount --bind proc/sys proc/sys
mount -o remount,bind,ro proc/sys
mount --bind proc/sys/net proc/sys/net
mount -o remount,bind,rw proc/sys/net
pivot_root . old
cd /
umount -l /old
while read -r id parent device root point options rest; do
  case " $rest" in *' - tmpfs '* | *' - proc '* | *' - sysfs '* | *' - cgroup2 '* | *' - devpts '*) continue ;; esac
  case $options in ro | ro,*) ;; *) echo "$point can be written" >&2; exit 1 ;; esac
done </proc/self/mountinfo
exec setpriv --bounding-set=-sys_module,-sys_time,-sys_rawio,-syslog env -i container=netlab PATH=/usr/sbin:/usr/bin ${SYSTEMD} --log-target=console --show-status=0
`;

/** The machine's own settings and services play no part. */
const INSTALL = `
set -eu
mkdir -p "$1/var/log" "$1/var/lib" "$1/var/cache"
ln -s ../run "$1/var/run"
cp -a /etc "$1/etc"
cd "$1/etc"
rm -rf systemd tmpfiles.d sysctl.d postgresql
mkdir -p systemd/system
# Without one it would take this for its first boot, and switch on all services that are there.
echo 0123456789abcdef0123456789abcdef > machine-id
cd systemd/system
for unit in dbus.service dbus.socket systemd-logind.service getty.target timers.target systemd-sysctl.service; do
  ln -s /dev/null "$unit"
done
cp '${repository}'/deploy/*.service .
`;

let machines = 0;

export class SystemdMachine {
  readonly machine: NetworkNamespace;
  /** Its /etc and /var, from one boot to the next. */
  readonly #folder: string;
  readonly #cgroup: string;
  #systemd: Process | undefined;

  private constructor(machine: NetworkNamespace, folder: string, cgroup: string) {
    this.machine = machine;
    this.#folder = folder;
    this.#cgroup = cgroup;
  }

  /** Not running yet, with this checkout's units in /etc/systemd/system. */
  static async install(machine: NetworkNamespace): Promise<SystemdMachine> {
    const name = `sallyport-systemd-${String(process.pid)}-${String(machines++)}`;
    const folder = join(machine.laboratory.folder, name);
    mkdirSync(folder);
    await machine.laboratory.run(['sh', '-c', INSTALL, 'sh', folder]);
    return new SystemdMachine(machine, folder, join(hierarchy ?? '', name));
  }

  /** Returns when all that is wanted at boot has been started. */
  async boot(): Promise<void> {
    mkdirSync(this.#cgroup, { recursive: true });
    const root = join(this.machine.laboratory.folder, 'root');
    mkdirSync(root, { recursive: true });
    // `ip netns exec` hides the hierarchy of cgroups.
    const enter = `echo $$ > ${this.#cgroup}/cgroup.procs && exec ip netns exec ${this.machine.name} "$@"`;
    const own = ['unshare', '--pid', '--fork', '--kill-child', '--mount', '--cgroup', '--uts', '--ipc'];
    const argv = ['sh', '-c', enter, 'sh', ...own, 'sh', '-c', BOOT, 'sh', root, this.#folder];
    const systemd = await this.machine.laboratory.start(argv);
    this.#systemd = systemd;
    await until(
      'systemd',
      async () => {
        if (systemd.exit !== undefined) throw new Error(systemd.stderr + systemd.stdout);
        if (this.#init === undefined) return false;
        const state = await this.attempt(['systemctl', 'is-system-running']);
        return /^(running|degraded)/.test(state.stdout);
      },
      undefined,
      50,
    );
  }

  /** As when the power goes: what was written stays. */
  async powerOff(): Promise<void> {
    const written = ['etc', 'var'].map((name) => `rm -rf "$1/${name}"; cp -a /proc/${this.#init ?? ''}/root/${name} "$1/${name}"`); // prettier-ignore
    await this.machine.laboratory.run(['sh', '-ec', written.join('\n'), 'sh', this.#folder]);
    await this.close();
  }

  async close(): Promise<void> {
    await this.#systemd?.stop('SIGKILL');
    this.#systemd = undefined;
    await until('the end of its processes', () => removeTree(this.#cgroup));
  }

  /** Runs a command in there. @throws CommandError where it fails. */
  run(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.machine.laboratory.run(this.#inside(argv), options);
  }

  attempt(argv: readonly string[], options: RunOptions = {}): Promise<RunResult> {
    return this.run(argv, { ...options, allowFailure: true });
  }

  async property(unit: string, name: string): Promise<string> {
    return (await this.run(['systemctl', 'show', '--value', '--property', name, unit])).stdout.trim();
  }

  async log(unit: string): Promise<string> {
    return (await this.run(['journalctl', '--no-pager', '--output', 'cat', '--unit', unit])).stdout;
  }

  #inside(argv: readonly string[]): string[] {
    const environment = ['env', '-i', 'PATH=/usr/local/bin:/usr/sbin:/usr/bin'];
    return ['nsenter', '--target', this.#init ?? '', '--all', '--', ...environment, ...argv];
  }

  /** Process 1 of the namespace, as this machine numbers it. */
  get #init(): string | undefined {
    const { pid } = this.#systemd ?? { pid: 0 };
    return /^\d+/.exec(readFileSync(`/proc/${String(pid)}/task/${String(pid)}/children`, 'utf8'))?.[0];
  }
}

function removeTree(cgroup: string): boolean {
  try {
    for (const entry of readdirSync(cgroup, { withFileTypes: true }))
      if (entry.isDirectory() && !removeTree(join(cgroup, entry.name))) return false;
    rmdirSync(cgroup);
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return true;
    if ((error as NodeJS.ErrnoException).code === 'EBUSY') return false;
    throw error;
  }
}
