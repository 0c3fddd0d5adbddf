import { z } from 'zod';
import type { Sysctl } from '@sallyport/io';
import { JsonFile } from '../files/json-file.ts';

const saved = z.record(z.string(), z.string());

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
  async apply(wanted: Readonly<Record<string, string>>): Promise<void> {
    const before = (await this.#file.read()) ?? {};
    const next = { ...before };
    for (const name of Object.keys(wanted)) {
      const value = this.#sysctl.read(keyOf(name));
      if (value !== undefined) next[name] ??= value;
    }
    if (Object.keys(next).length > Object.keys(before).length) await this.#file.write(next);
    for (const [name, value] of Object.entries(wanted)) this.#write(name, value);
    let changed = false;
    for (const [name, value] of Object.entries(before)) {
      if (name in wanted) continue;
      this.#write(name, value);
      changed = true;
      Reflect.deleteProperty(next, name);
    }
    if (!changed) return;
    if (Object.keys(next).length === 0) await this.#file.remove();
    else await this.#file.write(next);
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
