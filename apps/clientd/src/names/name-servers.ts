/** Makes the tunnel's name servers the machine's, by the way that the machine has, and takes that back. */
import { readFileSync, realpathSync } from 'node:fs';
import type { DnsPlan } from '@sallyport/client';
import { findProgram, type CommandRunner } from '@sallyport/io';
import { z } from 'zod';
import { JsonFile } from '../files/json-file.ts';
import { ResolvConf } from './resolv-conf.ts';

export type NamesMethod = 'resolved' | 'resolvconf' | 'file' | 'none';

const INTERFACE_ORDER = '/etc/resolvconf/interface-order';

const journal = z.strictObject({ method: z.enum(['resolved', 'resolvconf']), interface: z.string() });

export interface NameServersOptions {
  readonly runner: CommandRunner;
  /** Where what has to be taken back is kept. */
  readonly stateFolder: string;
  /** Default: /etc/resolv.conf. */
  readonly resolvConf?: string | undefined;
  readonly onFault: (message: string) => void;
}

export class NameServers {
  readonly #runner: CommandRunner;
  readonly #journal: JsonFile<typeof journal>;
  readonly #path: string;
  readonly #file: ResolvConf;
  readonly #onFault: (message: string) => void;
  #method: NamesMethod = 'none';
  #servers: readonly string[] = [];

  constructor({ runner, stateFolder, resolvConf = '/etc/resolv.conf', onFault }: NameServersOptions) {
    this.#path = resolvConf;
    this.#runner = runner;
    this.#onFault = onFault;
    this.#journal = new JsonFile(`${stateFolder}/names.json`, journal);
    this.#file = new ResolvConf(resolvConf, `${stateFolder}/resolv.conf.saved`, onFault);
  }

  /** How names are asked now, and whom. */
  get state(): { readonly by: NamesMethod; readonly servers: readonly string[] } {
    return { by: this.#method, servers: this.#servers };
  }

  /** Throws where the machine's way fails; what was set before may still be in force then. */
  async set(plan: DnsPlan): Promise<void> {
    const left = await this.#journal.read();
    const method = left?.method ?? (await this.#choose(plan));
    if (plan.servers.length === 0 || (!plan.all && method !== 'resolved')) {
      // One list of servers for all names is all that the other ways have.
      await this.restore();
      return;
    }
    // The file has a journal of its own.
    if (method !== 'file') await this.#journal.write({ method, interface: plan.interface });
    if (method === 'resolved') await this.#setResolved(plan);
    const done = method === 'resolvconf' && (await this.#setResolvconf(plan));
    if (method === 'resolved' || done) this.#method = method;
    else {
      await this.#file.set(textOf(plan, true));
      this.#method = 'file';
    }
    this.#servers = plan.servers;
  }

  /** Takes back what was set, by this daemon or by one that was killed. Does nothing where nothing was. */
  async restore(): Promise<void> {
    const left = await this.#journal.read();
    if (left !== undefined) {
      if (left.method === 'resolved') await this.#undo('resolvectl', ['revert', left.interface]);
      if (left.method === 'resolvconf') await this.#undo('resolvconf', ['-d', recordName(left.interface), '-f']);
    }
    await this.#file.restore();
    if (left !== undefined) await this.#journal.remove();
    this.#method = 'none';
    this.#servers = [];
  }

  /** A setting of an interface that is gone is gone too. */
  async #undo(program: string, args: readonly string[]): Promise<void> {
    await this.#runner.change(program, args).catch((error: unknown) => {
      this.#onFault(`names: ${(error as Error).message}`);
    });
  }

  async #setResolved({ interface: name, servers, searchDomains, all }: DnsPlan): Promise<void> {
    await this.#runner.change('resolvectl', ['dns', name, ...servers]);
    // "~." sends every name to these servers, and none to those of other interfaces.
    const domains = all ? ['~.', ...searchDomains] : searchDomains.flatMap((domain) => [domain, `~${domain}`]);
    await this.#runner.change('resolvectl', ['domain', name, ...domains]);
    await this.#runner.change('resolvectl', ['default-route', name, all ? 'yes' : 'no']);
    // Inside the tunnel it is encrypted already, and the gateway speaks plain DNS. An old resolved knows no such setting.
    await this.#undo('resolvectl', ['dnsovertls', name, 'no']);
    await this.#undo('resolvectl', ['flush-caches']);
  }

  /** False where it is installed, but the file isn't its. */
  async #setResolvconf(plan: DnsPlan): Promise<boolean> {
    await this.#runner.change('resolvconf', ['-a', recordName(plan.interface), '-m', '0', '-x'], {
      input: textOf(plan, false),
    });
    const [first = ''] = nameServersIn(readText(this.#path));
    if (plan.servers.includes(first) || first.startsWith('127.')) return true;
    await this.#undo('resolvconf', ['-d', recordName(plan.interface), '-f']);
    await this.#journal.remove();
    return false;
  }

  async #choose(plan: DnsPlan): Promise<'resolved' | 'resolvconf' | 'file'> {
    if (usesResolved(this.#path) && findProgram('resolvectl') !== undefined) {
      const answers = await this.#runner.query('resolvectl', ['status', plan.interface]).then(
        () => true,
        () => false,
      );
      if (answers) return 'resolved';
    }
    const resolvconf = findProgram('resolvconf');
    // systemd's own program goes by that name too, and needs resolved.
    if (resolvconf !== undefined && !realpathSync(resolvconf).endsWith('/resolvectl') && usesResolvconf(this.#path))
      return 'resolvconf';
    return 'file';
  }
}

/** Debian's resolvconf sorts by prefixes of interface names: `tun.` comes first. Other kinds want the bare name. */
function recordName(name: string): string {
  const first = readText(INTERFACE_ORDER)
    .split('\n')
    .flatMap((line) => /^([A-Za-z0-9-]+)\*$/.exec(line.trim())?.[1] ?? [])[0];
  return first === undefined ? `${name}.sallyport` : `${first}.${name}`;
}

function textOf({ servers, searchDomains }: DnsPlan, file: boolean): string {
  const head = file ? '# Written by Sallyport while it is connected; what was here comes back at disconnect.\n' : '';
  const search = searchDomains.length === 0 ? '' : `search ${searchDomains.join(' ')}\n`;
  // Three are all that the C library asks.
  const kept = file ? servers.slice(0, 3) : servers;
  return `${head}${kept.map((server) => `nameserver ${server}\n`).join('')}${search}`;
}

function usesResolved(path: string): boolean {
  try {
    if (realpathSync(path).startsWith('/run/systemd/resolve/')) return true;
  } catch {
    return false;
  }
  return nameServersIn(readText(path)).some((server) => /^127\.0\.0\.5[34]$/.test(server));
}

function usesResolvconf(path: string): boolean {
  try {
    if (/^\/(run|etc)\/resolvconf\//.test(realpathSync(path))) return true;
  } catch {
    return true;
  }
  return /generated by resolvconf/i.test(readText(path));
}

/** The servers that a resolv.conf names, in their order. */
export function nameServersIn(text: string): string[] {
  return text.split('\n').flatMap((line) => /^\s*nameserver\s+(\S+)/.exec(line)?.[1] ?? []);
}

function readText(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}
