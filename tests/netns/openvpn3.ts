/** Debian's OpenVPN 3 Linux in the client's machine: the library that OpenVPN Connect is made of, behind a message bus. */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { until, type NetworkNamespace, type Process } from '@sallyport/netlab';
import { printed, unpacked } from './unpacked.ts';

/** As scripts/unpack-peers unpacks it. */
const folder = unpacked('openvpn-3');

export const skip = existsSync(join(folder, 'openvpn3')) ? false : 'OpenVPN 3 is not there: scripts/unpack-peers';

const USER = '_openvpn';
const ROOT = '/run/root';
const SERVICES = '/usr/libexec/openvpn3-linux/openvpn3-service-';
const BUS = `<busconfig>
  <type>system</type>
  <listen>unix:path=${ROOT}/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow own="*"/>
    <allow send_destination="*" eavesdrop="true"/>
    <allow receive_sender="*" eavesdrop="true"/>
    <allow send_type="signal"/>
  </policy>
</busconfig>`;
/** A root of its own out of the package's files, which are not written to. */
const SET_UP = `
mountpoint -q /etc && mountpoint -q /run
cat > /run/bus.conf
echo '${USER}:x:64054:64054::/:/usr/sbin/nologin' >> /etc/passwd
echo '${USER}:x:64054:' >> /etc/group
mkdir ${ROOT}
cd ${ROOT}
mkdir -p dev etc proc root run/dbus run/openvpn3 tmp usr var/lib/openvpn3/configs
ln -s usr/bin usr/sbin usr/lib usr/lib64 .
chmod 1777 tmp
chown -R 64054:64054 var/lib/openvpn3
mount --bind ${folder}/usr usr
mount --bind /etc etc
mount --bind /dev dev
mount -t proc proc proc`;

export class OpenVpn3 {
  readonly #machine: NetworkNamespace;
  readonly #log: Process;

  private constructor(machine: NetworkNamespace, log: Process) {
    this.#machine = machine;
    this.#log = log;
  }

  /** Starts its services. What is started in the machine from now on has an /etc of its own. */
  static async start(machine: NetworkNamespace): Promise<OpenVpn3> {
    await machine.ownFolders();
    await machine.run(['sh', '-ec', SET_UP], { input: BUS });
    await printed(await machine.start(['dbus-daemon', '--config-file=/run/bus.conf', '--nofork', '--nopidfile', '--print-address']), 'unix:'); // prettier-ignore
    const service = (name: string, user: string, ...args: readonly string[]): Promise<Process> =>
      machine.start(['chroot', `--userspec=${user}:${user}`, ROOT, `${SERVICES}${name}`, '--idle-exit', '0', ...args]);
    const log = await service('log', USER, '--log-level', '6', '--log-file', 'stdout:');
    await printed(log, 'Log method');
    await service('configmgr', USER);
    await service('netcfg', 'root', '--resolv-conf', '/etc/resolv.conf');
    await service('backendstart', USER, '--client-log-level', '6');
    await service('sessionmgr', USER);
    const openVpn3 = new OpenVpn3(machine, log);
    for (const sign of ['configuration', 'netcfg', 'backends', 'sessions'])
      await openVpn3.says(`/net.openvpn.v3.${sign}\\]`);
    return openVpn3;
  }

  /** What all of it has logged. */
  get log(): string {
    return this.#log.stdout;
  }

  /** Begins a session by the profile, which stays when this ends. `answers`: to what it asks for, a line each. */
  async connect(profile: string, answers: readonly string[] = []): Promise<Process> {
    await this.#machine.run(['tee', `${ROOT}/root/client.ovpn`], { input: profile });
    return this.#machine.start(['chroot', ROOT, 'openvpn3', 'session-start', '--config', '/root/client.ovpn'], {
      input: answers.map((line) => `${line}\n`).join(''),
    });
  }

  async disconnect(): Promise<void> {
    await this.#machine.run(['chroot', ROOT, 'openvpn3', 'session-manage', '--disconnect', '--config', '/root/client.ovpn']); // prettier-ignore
  }

  /** Until this was logged as many times. */
  async says(pattern: string, times = 1): Promise<void> {
    try {
      await until(`OpenVPN 3: ${pattern}`, () => [...this.log.matchAll(new RegExp(pattern, 'g'))].length >= times);
    } catch (cause) {
      throw new Error(`${(cause as Error).message}\n${this.log.slice(-6000)}`, { cause });
    }
  }
}
