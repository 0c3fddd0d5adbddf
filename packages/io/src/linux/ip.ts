import { CommandError } from './run.ts';
import type { CommandRunner } from './run.ts';

/** An address family, as the `ip` program's -4 and -6 name it. */
export type IpFamily = 4 | 6;

export interface InterfaceAddress {
  /** `ADDRESS/LENGTH`. */
  readonly prefix: string;
  readonly linkLocal: boolean;
}

/** A routing policy rule, as far as Sallyport looks at it. */
export interface PolicyRule {
  /** The packets' mark that the rule asks for. */
  readonly fwmark: number | undefined;
  readonly not: boolean;
  readonly table: string;
  readonly suppressPrefixLength: number | undefined;
}

export interface Route {
  /** `default`, an address or a prefix. */
  readonly destination: string;
  readonly device: string | undefined;
  readonly mtu: number | undefined;
}

/** Links, addresses, routes and rules, by the `ip` program of iproute2. Addresses and prefixes are text. */
export class Ip {
  readonly #runner: CommandRunner;

  constructor(runner: CommandRunner) {
    this.#runner = runner;
  }

  /** A link's MTU, or undefined where there is no such link. */
  async linkMtu(name: string): Promise<number | undefined> {
    const links = await this.#list(['link', 'show', 'dev', name]);
    return number(links[0]?.['mtu']);
  }

  async deleteLink(name: string): Promise<void> {
    await this.#runner.change('ip', ['link', 'delete', 'dev', name]);
  }

  async setLinkUp(name: string, mtu: number): Promise<void> {
    await this.#runner.change('ip', ['link', 'set', 'mtu', String(mtu), 'up', 'dev', name]);
  }

  /** The addresses of a link. */
  async addresses(name: string): Promise<InterfaceAddress[]> {
    const links = await this.#list(['address', 'show', 'dev', name]);
    const infos = links.flatMap((link) => (Array.isArray(link['addr_info']) ? (link['addr_info'] as Fields[]) : []));
    return infos.map((info) => ({
      prefix: `${text(info['local']) ?? ''}/${String(info['prefixlen'])}`,
      linkLocal: info['scope'] === 'link',
    }));
  }

  async addAddress(family: IpFamily, address: string, name: string): Promise<void> {
    await this.#runner.change('ip', [flag(family), 'address', 'add', address, 'dev', name]);
  }

  /** The route that a packet to `address` would take, or undefined where there is none. */
  async routeTo(address: string): Promise<Route | undefined> {
    return (await this.#list(['route', 'get', address])).map(routeOf)[0];
  }

  async defaultRoutes(family: IpFamily): Promise<Route[]> {
    return (await this.#list([flag(family), 'route', 'show', 'default'])).map(routeOf);
  }

  /** The routes of one table; a table that was never used has none. */
  async routes(family: IpFamily, table: string): Promise<Route[]> {
    return (await this.#list([flag(family), 'route', 'show', 'table', table])).map(routeOf);
  }

  /** Adds routes into `table`, or the main one, in one run of the program. */
  async addRoutes(family: IpFamily, prefixes: readonly string[], name: string, table?: string): Promise<void> {
    if (prefixes.length === 0) return;
    const lines = prefixes.map(
      (prefix) => `route add ${prefix} dev ${name}${table === undefined ? '' : ` table ${table}`}`,
    );
    if (lines.length === 1) {
      await this.#runner.change('ip', [flag(family), ...(lines[0] ?? '').split(' ')]);
      return;
    }
    for (const line of lines) this.#runner.tell(`ip ${flag(family)} ${line}`);
    try {
      await this.#runner.runQuietly('ip', [flag(family), '-batch', '-'], { input: `${lines.join('\n')}\n` });
    } catch (error) {
      if (!(error instanceof CommandError)) throw error;
      const failed = lines[Number(/Command failed -:(\d+)/.exec(error.stderr)?.[1] ?? NaN) - 1];
      if (failed === undefined) throw error;
      const said = error.stderr.replace(/Command failed -:\d+/, '');
      throw new CommandError('failed', `ip ${flag(family)} ${failed}`, error.exitCode, said, { cause: error });
    }
  }

  async rules(family: IpFamily): Promise<PolicyRule[]> {
    return (await this.#list([flag(family), 'rule', 'show'])).map((rule) => ({
      fwmark: number(rule['fwmark']),
      not: 'not' in rule,
      table: text(rule['table']) ?? '',
      suppressPrefixLength: number(rule['suppress_prefixlen'] ?? rule['suppress_prefixlength']),
    }));
  }

  /** Adds a rule; `selector` is what `ip rule` takes, word by word. */
  async addRule(family: IpFamily, selector: readonly string[]): Promise<void> {
    await this.#runner.change('ip', [flag(family), 'rule', 'add', ...selector]);
  }

  async deleteRule(family: IpFamily, selector: readonly string[]): Promise<void> {
    await this.#runner.change('ip', [flag(family), 'rule', 'delete', ...selector]);
  }

  /**
   * Runs commands (`route replace …`, `rule add …`) one after the other in one run of the program. With `force` those that
   * fail are passed over, and how many there were is returned; without, the first ends it with a CommandError. Without a
   * family each line is of the one that its address is of.
   */
  async batch(family: IpFamily | undefined, lines: readonly string[], force = false): Promise<number> {
    if (lines.length === 0) return 0;
    const of = family === undefined ? [] : [flag(family)];
    for (const line of lines) this.#runner.tell(['ip', ...of, line].join(' '));
    try {
      await this.#runner.runQuietly('ip', [...of, ...(force ? ['-force'] : []), '-batch', '-'], {
        input: `${lines.join('\n')}\n`,
      });
      return 0;
    } catch (error) {
      if (!(error instanceof CommandError) || error.code !== 'failed') throw error;
      const failed = [...error.stderr.matchAll(/Command failed -:(\d+)/g)].map(([, line]) => Number(line));
      if (failed.length === 0) throw error;
      if (force) return failed.length;
      const said = error.stderr.replace(/Command failed -:\d+/, '');
      const line = lines[(failed[0] ?? 0) - 1] ?? '';
      throw new CommandError('failed', ['ip', ...of, line].join(' '), error.exitCode, said, { cause: error });
    }
  }

  /** Runs `ip -json`; nothing found is an empty list. */
  async #list(args: readonly string[]): Promise<Fields[]> {
    try {
      const output = await this.#runner.query('ip', ['-json', ...args]);
      const parsed: unknown = output.trim() === '' ? [] : JSON.parse(output);
      return Array.isArray(parsed) ? (parsed as Fields[]) : [];
    } catch (error) {
      if (error instanceof CommandError && error.code === 'failed') return [];
      throw error;
    }
  }
}

type Fields = Record<string, unknown>;

function flag(family: IpFamily): string {
  return `-${String(family)}`;
}

function routeOf(fields: Fields): Route {
  const metrics = Array.isArray(fields['metrics']) ? (fields['metrics'] as Fields[]) : [];
  return {
    destination: text(fields['dst']) ?? '',
    device: text(fields['dev']),
    mtu: number(metrics.find((metric) => 'mtu' in metric)?.['mtu']),
  };
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined;
}

function number(value: unknown): number | undefined {
  const parsed = typeof value === 'string' ? Number(value) : value;
  return typeof parsed === 'number' && Number.isFinite(parsed) ? parsed : undefined;
}
