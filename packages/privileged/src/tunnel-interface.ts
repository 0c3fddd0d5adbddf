import { CommandError, Ip } from '@sallyport/io';
import type { CommandRunner, IpFamily } from '@sallyport/io';
import type { Memory } from './remembered.ts';

/** The mark that the firewall's table gives to the packets that it has seen. One bit, so that others stay usable. */
export const SEEN_MARK = 0x0800_0000;
const SEEN = `0x${SEEN_MARK.toString(16)}`;
/** The routing table of the networks behind devices. */
export const NETWORKS_TABLE = '51920';
/** Before every rule of other people's, or a packet could leave by one of theirs. */
const RULE_PRIORITY = 40;

/**
 * The tunnel's interface, and the routing rules that keep its traffic in while there is no packet filter.
 *
 * The filter's table marks each packet before it is routed. One without the mark was seen by no filter: it comes when
 * somebody has flushed all tables (`nft flush ruleset`, a restart of nftables.service), or none is there yet. The rules
 * drop it, from the tunnel and to it. What is left are the packets that lie between two hooks of the kernel at the very
 * moment when the table goes, at most one for each processor, and what is meant for this machine itself. What the
 * machine itself sends to the tunnel bears no mark and goes by the main table.
 */
export class TunnelInterface {
  readonly #name: string;
  readonly #runner: CommandRunner;
  readonly #ip: Ip;
  readonly #memory: Memory;
  readonly #networksUid: number | undefined;
  #pools: readonly string[] = [];

  /** @param networksUid the user whose own packets reach networks behind devices */
  constructor(name: string, runner: CommandRunner, memory: Memory, networksUid?: number) {
    this.#name = name;
    this.#runner = runner;
    this.#ip = new Ip(runner);
    this.#memory = memory;
    this.#networksUid = networksUid;
  }

  /** Makes the interface what the lists say, whatever it was. Throws a CommandError. */
  async configure(addresses: readonly string[], routes: readonly string[], mtu: number): Promise<void> {
    if ((await this.#ip.linkMtu(this.#name)) === undefined)
      throw new Error(`there is no interface ${this.#name}: the gateway opens it before it asks for addresses`);
    await this.#setRules(routes);
    const present = await this.#ip.addresses(this.#name);
    for (const { prefix, linkLocal } of present)
      if (!linkLocal && !addresses.includes(prefix)) await this.#address('delete', prefix);
    for (const prefix of addresses) await this.#address('replace', prefix);
    await this.#ip.setLinkUp(this.#name, mtu);
    for (const route of routes)
      await this.#runner.change('ip', [flag(familyOf(route)), 'route', 'replace', route, 'dev', this.#name]);
    this.#pools = routes;
  }

  get name(): string {
    return this.#name;
  }

  /** What {@link configure} routed to it. */
  get pools(): readonly string[] {
    return this.#pools;
  }

  /** The interface itself goes with the process that opened it. */
  async setDown(): Promise<void> {
    if ((await this.#ip.linkMtu(this.#name)) !== undefined)
      await this.#runner.change('ip', ['link', 'set', 'dev', this.#name, 'down']);
  }

  async removeRules(): Promise<void> {
    for (const rule of this.#memory.value.rules) await this.#deleteRule(rule);
    this.#memory.value.rules = [];
  }

  async #address(verb: 'replace' | 'delete', prefix: string): Promise<void> {
    await this.#runner.change('ip', [flag(familyOf(prefix)), 'address', verb, prefix, 'dev', this.#name]);
  }

  async #setRules(routes: readonly string[]): Promise<void> {
    const uid = String(this.#networksUid);
    const wanted = ([4, 6] as const).flatMap((family) => {
      const unseen = ['fwmark', `0/${SEEN}`, 'blackhole'];
      const toTunnel = routes.filter((route) => familyOf(route) === family);
      return [
        ...toTunnel.map((route) => ['pref', String(RULE_PRIORITY), 'iif', 'lo', 'to', route, 'lookup', 'main']),
        ...toTunnel.map((route) => ['pref', String(RULE_PRIORITY + 1), 'to', route, ...unseen]),
        ['pref', String(RULE_PRIORITY + 2), 'iif', this.#name, ...unseen],
        // Networks behind devices are reached from the tunnel. Of the machine's own packets only the kernel's answers to
        // what has the filter's mark go there, and the name server's; the mark is also for the reverse path filter's
        // look at the way back. So nobody draws other traffic of the machine's into the tunnel by naming networks.
        ...[
          [this.#name],
          ['lo', 'fwmark', `${SEEN}/${SEEN}`],
          ...(this.#networksUid === undefined ? [] : [['lo', 'uidrange', `${uid}-${uid}`]]),
        ].map((from) => ['pref', String(RULE_PRIORITY + 3), 'iif', ...from, 'lookup', NETWORKS_TABLE]),
      ].map((words) => ({ family, words }));
    });
    const same = (a: Rule, b: Rule): boolean => a.family === b.family && a.words.join(' ') === b.words.join(' ');
    const stale = this.#memory.value.rules.filter((rule) => !wanted.some((other) => same(rule, other)));
    // Remembered before they are made: a rule that isn't there is easily deleted, one that is forgotten stays.
    this.#memory.value.rules = [...stale, ...wanted];
    this.#memory.save();
    for (const rule of wanted) await this.#addRule(rule);
    for (const rule of stale) await this.#deleteRule(rule);
    this.#memory.value.rules = wanted;
    this.#memory.save();
  }

  async #addRule({ family, words }: Rule): Promise<void> {
    try {
      await this.#ip.addRule(family, words);
    } catch (error) {
      if (!(error instanceof CommandError && error.stderr.includes('File exists'))) throw error;
    }
  }

  async #deleteRule({ family, words }: Rule): Promise<void> {
    try {
      await this.#ip.deleteRule(family, words);
    } catch (error) {
      if (!(error instanceof CommandError && error.stderr.includes('No such file'))) throw error;
    }
  }
}

interface Rule {
  readonly family: IpFamily;
  readonly words: readonly string[];
}

export function familyOf(prefix: string): IpFamily {
  return prefix.includes(':') ? 6 : 4;
}

export function flag(family: IpFamily): string {
  return `-${String(family)}`;
}
