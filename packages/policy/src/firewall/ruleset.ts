/**
 * A ruleset of the kernel's packet filter as data: what the table `inet sallyport` should hold. Statements and
 * expressions are those of libnftables' JSON (libnftables-json(5)).
 */

export const TABLE = 'sallyport';

/** A statement as libnftables' JSON has it. */
export type Statement = Readonly<Record<string, unknown>>;
export type Rule = readonly Statement[];

/**
 * A set that the packets fill: what is left of a rate, for each key that has sent lately. It never changes: another
 * size is another meter, with another name.
 */
export interface Meter {
  readonly key: string;
  /** The kernel reserves 8 to 16 bytes for each from the beginning. */
  readonly size: number;
  /** How long a key is kept that sends nothing. */
  readonly timeoutSeconds: number;
}

export interface ElementSet {
  /** The types of the key's parts; with more than one, each part of an element may be a range. */
  readonly key: readonly string[];
  /** Elements may be ranges although the key has one part. */
  readonly interval?: true;
  /** The most elements that there will be at a time; the kernel finds them sooner where it knows that. */
  readonly size?: number;
  /** For a map, what it leads to: a chain, for good or to come back from; an address; a number of 32 bits, as 16:16 or whole. */
  readonly value?: 'goto' | 'jump' | 'ipv4_addr' | 'ipv6_addr' | 'classid' | 'mark';
  /** By key: its parts, joined by `|`, a range as FIRST-LAST. The value is the chain, the address or the number. */
  readonly elements: ReadonlyMap<string, string>;
}

export interface Chain {
  /** Where the kernel enters it; absent for chains that others jump to. */
  readonly base?: {
    readonly type: 'filter' | 'nat';
    readonly hook: string;
    readonly prio: number;
    readonly policy: 'accept' | 'drop';
  };
  readonly rules: readonly Rule[];
}

/** By name. */
export interface Ruleset {
  readonly meters: ReadonlyMap<string, Meter>;
  readonly sets: ReadonlyMap<string, ElementSet>;
  readonly chains: ReadonlyMap<string, Chain>;
  /** Which device has an address. The kernel isn't told; an address that changes hands takes its flows' permission. */
  readonly owners: ReadonlyMap<string, string>;
  /** The machine's own addresses: what is sent to one that it loses goes elsewhere from then on. */
  readonly ownAddresses: ReadonlySet<string>;
  /** What the packets of a device's address leave with, where it isn't the gateway's default. */
  readonly egress: ReadonlyMap<string, string>;
}

/** The chain that accepts what was accepted before, and the one that accepts and remembers: see {@link generationSets}. */
export const KNOWN = 'known';
export const ALLOW = 'allow';
/** Generations are marks from 1 to this. */
export const LAST_GENERATION = 0xffff_fffe;
/** Mark of the flows that were refused: of no generation, and not what other programs' flows have, which is none. */
export const REFUSED_MARK = 0xffff_ffff;

const CT_MARK = { ct: { key: 'mark' } };

/**
 * The rules by which a flow is decided once: its first packet marks it with the generation, and as long as that is
 * the generation, its packets pass. A generation ends whenever something is taken away; then every flow is decided anew.
 */
export const GENERATION_RULES: Readonly<Record<typeof KNOWN | typeof ALLOW, readonly Rule[]>> = {
  [KNOWN]: [[{ match: { op: '==', left: CT_MARK, right: '@generation' } }, { accept: null }]],
  [ALLOW]: [
    [
      { mangle: { key: CT_MARK, value: { map: { key: { meta: { key: 'nfproto' } }, data: '@mark' } } } },
      { accept: null },
    ],
  ],
};

/**
 * Where the generation is written, that is in elements and not in the rules: with each change of a rule the kernel
 * follows all ways through the table, which takes it 5 ms with 10,000 devices.
 */
export function generationSets(generation: number): ReadonlyMap<string, ElementSet> {
  const mark = String(generation);
  return new Map<string, ElementSet>([
    ['generation', { key: ['mark'], size: 4, elements: new Map([[mark, '']]) }],
    [
      'mark',
      {
        key: ['nf_proto'],
        size: 8,
        value: 'mark',
        elements: new Map([
          ['ipv4', mark],
          ['ipv6', mark],
        ]),
      },
    ],
  ]);
}
