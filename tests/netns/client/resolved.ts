/** Debian's systemd-resolved in the client's machine, with a message bus of its own. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { until, type NetworkNamespace, type Process } from '@sallyport/netlab';
import { printed, unpacked } from '../unpacked.ts';

/** As scripts/unpack-peers unpacks it. */
const folder = unpacked('resolved-252');
const resolvectl = join(folder, 'resolvectl');

export const skip = existsSync(resolvectl) ? false : 'systemd-resolved is not there: scripts/unpack-peers';

/** For the environment of programs that are to find `resolvectl`. */
export const PATH = `${folder}:${process.env['PATH'] ?? ''}`;

const ACCOUNT = 'systemd-resolve:x:64053:';
const BUS = `<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <allow send_destination="org.freedesktop.DBus"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="*"/>
  </policy>
  <includedir>${folder}/usr/share/dbus-1/system.d</includedir>
</busconfig>`;
const SET_UP = `
mountpoint -q /etc && mountpoint -q /run
mkdir -p /run/dbus /run/systemd
cat > /run/dbus/bus.conf
echo '${ACCOUNT}64053::/:/usr/sbin/nologin' >> /etc/passwd
echo '${ACCOUNT}' >> /etc/group
ln -sf /run/systemd/resolve/stub-resolv.conf /etc/resolv.conf
sed -i 's/^hosts:.*/hosts: files dns/' /etc/nsswitch.conf`;

/** What the machine has set, as `resolvectl` and the file tell it. */
export type NameSettings = Readonly<Record<'dns' | 'domain' | 'default-route' | 'link' | 'file', string>>;

export class Resolved {
  readonly #machine: NetworkNamespace;
  #process: Process | undefined;

  private constructor(machine: NetworkNamespace) {
    this.#machine = machine;
  }

  /** What is started in the machine from now on has an /etc of its own with resolved's stub as its name server. */
  static async start(machine: NetworkNamespace): Promise<Resolved> {
    await machine.ownFolders();
    await machine.run(['sh', '-ec', SET_UP], { input: BUS });
    await printed(await machine.start(['dbus-daemon', '--config-file=/run/dbus/bus.conf', '--nofork', '--nopidfile', '--print-address']), 'unix:'); // prettier-ignore
    const resolved = new Resolved(machine);
    await resolved.#begin();
    return resolved;
  }

  async #begin(): Promise<void> {
    this.#process = await this.#machine.start([join(folder, 'systemd-resolved')]);
    await until('systemd-resolved', async () => {
      if (this.#process?.exit !== undefined) throw new Error(this.#process.stderr);
      return (await this.#machine.run([resolvectl, 'status'], { allowFailure: true })).code === 0;
    });
  }

  /** As an update of its package does it. */
  async restart(): Promise<void> {
    await this.#process?.stop();
    await this.#begin();
  }

  async set(...args: readonly string[]): Promise<void> {
    await this.#machine.run([resolvectl, ...args]);
  }

  async settings(): Promise<NameSettings> {
    const show = async (...argv: readonly string[]): Promise<string> => (await this.#machine.run(argv)).stdout;
    return {
      dns: await show(resolvectl, 'dns'),
      domain: await show(resolvectl, 'domain'),
      'default-route': await show(resolvectl, 'default-route'),
      link: await show('readlink', '/etc/resolv.conf'),
      file: await show('cat', '/etc/resolv.conf'),
    };
  }

  /** It learns by messages from the kernel that an interface is gone. */
  async isAsBefore(before: NameSettings): Promise<void> {
    let now: NameSettings | undefined;
    await until('the settings of before', async () => isDeepStrictEqual((now = await this.settings()), before)).catch(
      () => undefined,
    );
    assert.deepEqual(now, before);
  }

  /** What `resolvectl` shows of one interface: its words. */
  async of(setting: 'dns' | 'domain' | 'default-route', device: string): Promise<string[]> {
    const { stdout } = await this.#machine.run([resolvectl, setting, device]);
    return stdout.trim().split(/\s+/).slice(3);
  }

  /** Whether the name is found: by the stub, as the C library asks, and by the bus. Each as an answer that came anew. */
  async finds(name: string): Promise<boolean> {
    const ways = [
      ['getent', 'ahostsv4', name],
      [resolvectl, 'query', '--cache=no', '-4', name],
    ];
    const found: boolean[] = [];
    for (const argv of ways) found.push((await this.#machine.run(argv, { allowFailure: true })).code === 0);
    if (found[0] !== found[1]) throw new Error(`${name}: the stub and the bus don't say the same`);
    return found[0] ?? false;
  }

  /** What `resolvectl` says of a name that it does not find. */
  async refusalOf(name: string): Promise<string> {
    return (await this.#machine.run([resolvectl, 'query', '-4', name], { allowFailure: true, timeoutMs: 150_000 }))
      .stderr;
  }

  /** Whether nobody has answered after a while: the stub says nothing at all where resolved has reached nobody. */
  async isSilent(name: string): Promise<boolean> {
    return (await this.#machine.run(['timeout', '2', 'getent', 'ahostsv4', name], { allowFailure: true })).code !== 0;
  }
}
