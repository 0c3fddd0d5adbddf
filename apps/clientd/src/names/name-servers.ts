/** Makes the tunnel's name servers the machine's, by the way that the machine has, and takes that back. */
import { readFileSync, realpathSync, watch, type FSWatcher } from 'node:fs';
import type { DnsPlan } from '@sallyport/client';
import { findProgram, type CommandRunner } from '@sallyport/io';
import { z } from 'zod';
import { JsonFile } from '../files/json-file.ts';
import { ResolvConf } from './resolv-conf.ts';

export type NamesMethod = 'resolved' | 'resolvconf' | 'file' | 'none';

const INTERFACE_ORDER = '/etc/resolvconf/interface-order';
/** What systemd-resolved writes whenever the search domains of an interface change. */
const RESOLVED = { folder: '/run/systemd/resolve', file: 'stub-resolv.conf' } as const;
const SETTLE_MS = 100;
/** More domains of other interfaces than these are left to their servers. */
const MAX_OTHERS = 32;

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
  /** Those of the tunnel that systemd-resolved was told last. */
  #domains = '';
  #watcher: FSWatcher | undefined;
  #timer: NodeJS.Timeout | undefined;
  #queue: Promise<unknown> = Promise.resolve();

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
  set(plan: DnsPlan): Promise<void> {
    return this.#inTurn(() => this.#set(plan));
  }

  /** Takes back what was set, by this daemon or by one that was killed. Does nothing where nothing was. */
  restore(): Promise<void> {
    return this.#inTurn(() => this.#restore());
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #set(plan: DnsPlan): Promise<void> {
    this.#unwatch();
    const left = await this.#journal.read();
    const method = left?.method ?? (await this.#choose(plan));
    if (plan.servers.length === 0 || (!plan.all && method !== 'resolved')) {
      // One list of servers for all names is all that the other ways have.
      await this.#restore();
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

  async #restore(): Promise<void> {
    this.#unwatch();
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

  async #setResolved(plan: DnsPlan): Promise<void> {
    const { interface: name, servers, all } = plan;
    await this.#runner.change('resolvectl', ['dns', name, ...servers]);
    // The interface may be another one of the same name.
    this.#domains = '';
    await this.#setDomains(plan);
    if (all) this.#watchDomains(plan);
    await this.#runner.change('resolvectl', ['default-route', name, all ? 'yes' : 'no']);
    // Inside the tunnel it is encrypted already, and the gateway speaks plain DNS. An old resolved knows no such setting.
    await this.#undo('resolvectl', ['dnsovertls', name, 'no']);
    await this.#undo('resolvectl', ['flush-caches']);
  }

  /**
   * "~." sends every name to the tunnel's servers but those below a domain of another interface, to whose servers the packet
   * filter lets nothing pass: a network could say so which names are not found. So the same domains are the tunnel's too.
   */
  async #setDomains({ interface: name, searchDomains, all }: DnsPlan): Promise<void> {
    const shown = all ? await this.#runner.query('resolvectl', ['domain']).catch(() => '') : '';
    const others = domainsOfOthers(shown, name).filter((domain) => !searchDomains.includes(domain));
    // A domain to search is also one whose names are asked here.
    const domains = [...(all ? ['~.'] : []), ...searchDomains, ...others.map((domain) => `~${domain}`)];
    if (domains.join(' ') === this.#domains) return;
    await this.#runner.change('resolvectl', ['domain', name, ...domains]);
    this.#domains = domains.join(' ');
  }

  #watchDomains(plan: DnsPlan): void {
    const look = (): void => {
      this.#timer ??= setTimeout(() => {
        this.#timer = undefined;
        void this.#inTurn(async () => {
          if (this.#watcher === undefined) return;
          await this.#setDomains(plan).catch((error: unknown) => {
            this.#onFault(`names: ${(error as Error).message}`);
          });
        });
      }, SETTLE_MS);
    };
    try {
      this.#watcher = watch(RESOLVED.folder, { persistent: false }, (_, name) => {
        if (name === RESOLVED.file) look();
      });
      this.#watcher.on('error', () => undefined);
    } catch {
      // It keeps its files elsewhere.
    }
  }

  #unwatch(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    clearTimeout(this.#timer);
    this.#timer = undefined;
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

/** The domains of the interfaces but one, as `resolvectl domain` shows them: long lines go on in the next one, indented. */
function domainsOfOthers(shown: string, own: string): string[] {
  const found = new Set<string>();
  let isOther = false;
  for (const line of shown.split('\n')) {
    const [, name, rest = line] = /^Link \d+ \((.*)\):(.*)$/.exec(line) ?? [];
    if (name !== undefined) isOther = name !== own;
    else if (/^\S/.test(line)) isOther = false;
    if (!isOther) continue;
    for (const word of rest.trim().split(/\s+/)) {
      const domain = word.replace(/^~/, '').replace(/\.$/, '');
      if (/^[A-Za-z0-9_]([A-Za-z0-9._-]{0,252})$/.test(domain)) found.add(domain);
    }
  }
  return [...found].sort().slice(0, MAX_OTHERS);
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
