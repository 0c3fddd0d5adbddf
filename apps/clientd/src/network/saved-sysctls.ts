import { ENTRY_INTERFACE, TUNNEL_INTERFACE } from '@sallyport/client';
import { z } from 'zod';
import type { Sysctl } from '@sallyport/io';
import { JsonFile } from '../files/json-file.ts';

const saved = z.record(z.string(), z.string());
const IPV6 = 'net/ipv6/conf';
const IPV6_FORWARDING = 'net.ipv6.conf.all.forwarding';
const PER_INTERFACE = /^net\.ipv6\.conf\.(?!all\.)[^.]+\.(accept_ra|forwarding)$/;

/**
 * Kernel settings that are other ones while there is a tunnel. What they were is noted before they change, in a folder that
 * is empty after a boot, as the settings are then the system's again.
 */
export class SavedSysctls {
  readonly #sysctl: Sysctl;
  readonly #file: JsonFile<typeof saved>;

  constructor(sysctl: Sysctl, path: string) {
    this.#sysctl = sysctl;
    this.#file = new JsonFile(path, saved);
  }

  /** Makes these the settings, by path with dots as sysctl(8) takes them, and gives back all that are not among them. */
  async apply(settings: Readonly<Record<string, string>>): Promise<void> {
    const before = (await this.#file.read()) ?? {};
    const wanted = settings[IPV6_FORWARDING] === '1' ? { ...this.#besideForwarding(before), ...settings } : settings;
    const next = { ...before };
    for (const name of Object.keys(wanted)) {
      const value = this.#sysctl.read(keyOf(name));
      if (value !== undefined) next[name] ??= value;
    }
    if (Object.keys(next).length > Object.keys(before).length) await this.#file.write(next);
    for (const [name, value] of Object.entries(wanted)) this.#write(name, value);
    let changed = false;
    // The last first: what the first was changed for is gone when it is given back.
    for (const [name, value] of Object.entries(before).reverse()) {
      if (name in wanted) continue;
      this.#write(name, value);
      changed = true;
      Reflect.deleteProperty(next, name);
    }
    if (!changed) return;
    if (Object.keys(next).length === 0) await this.#file.remove();
    else await this.#file.write(next);
  }

  /**
   * A kernel that begins to forward IPv6 takes no more advertisements of routers where accept_ra is 1, and drops the default
   * routes that it has from them: the machine would lose its way out. 2 means: even though it forwards (ip-sysctl.rst).
   * Where it forwards already they were not taken before either. `default` is for interfaces that come later. And what
   * each interface does is overwritten by `all`, in both directions.
   */
  #besideForwarding(before: Readonly<Record<string, string>>): Record<string, string> {
    const known = Object.keys(before).filter((name) => PER_INTERFACE.test(name));
    if (IPV6_FORWARDING in before)
      return Object.fromEntries(known.map((name) => [name, name.endsWith('ra') ? '2' : '1']));
    const devices = this.#sysctl.list(IPV6).filter((device) => !['all', 'lo', TUNNEL_INTERFACE, ENTRY_INTERFACE].includes(device)); // prettier-ignore
    const are = (key: string): string[] => devices.filter((device) => this.#sysctl.read(`${IPV6}/${device}/${key}`) === '1'); // prettier-ignore
    const forwarding = are('forwarding');
    const nameOf = (device: string, key: string): string => `net.ipv6.conf.${device.replaceAll('.', '/')}.${key}`;
    return Object.fromEntries([
      // First, and so given back last: any interface that begins to forward has the routes dropped of all with accept_ra 1.
      ...are('accept_ra').filter((device) => !forwarding.includes(device)).map((device) => [nameOf(device, 'accept_ra'), '2']), // prettier-ignore
      ...forwarding.map((device) => [nameOf(device, 'forwarding'), '1']),
    ]) as Record<string, string>;
  }

  /** Of an interface that is gone, or of a family that the machine lacks, there is nothing to set. */
  #write(name: string, value: string): void {
    const now = this.#sysctl.read(keyOf(name));
    if (now !== undefined && now !== value) this.#sysctl.write(keyOf(name), value);
  }
}

/** sysctl(8): a dot in an interface's name is written as a slash. */
function keyOf(name: string): string {
  return name.replace(/[./]/g, (separator) => (separator === '.' ? '/' : '.'));
}
