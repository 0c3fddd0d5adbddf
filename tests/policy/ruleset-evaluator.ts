/**
 * Follows a packet that begins a flow through a compiled ruleset, as the kernel would: written from what nft(8) says
 * of the statements, and knows no more of them than the rules use.
 */
import assert from 'node:assert/strict';
import {
  parseAddress,
  parsePrefix,
  prefixContains,
  type FirstPacket,
  type Rule,
  type Ruleset,
} from '@sallyport/policy';

type Json = Readonly<Record<string, unknown>>;
type Verdict = 'accept' | 'drop' | 'reject';
type Outcome = Verdict | 'return' | 'next' | 'break';

interface Context {
  readonly ruleset: Ruleset;
  readonly packet: FirstPacket;
  readonly input: string;
  readonly output: string;
  /** The addresses that the kernel has itself. */
  readonly own: readonly string[];
}

/** What becomes of the packet at its hooks. `own` are the addresses of the machine itself. */
export function evaluate(ruleset: Ruleset, packet: FirstPacket, tunnel: string, own: readonly string[]): Verdict {
  const local = own.includes(packet.destination);
  const input = packet.fromTunnel ? tunnel : 'eth0';
  const context: Context = { ruleset, packet, own, input, output: packet.fromTunnel ? 'eth0' : tunnel };
  for (const hook of ['prerouting', local ? 'input' : 'forward']) {
    const outcome = runChain(context, hook);
    if (outcome === 'drop' || outcome === 'reject') return outcome;
  }
  return 'accept';
}

function runChain(context: Context, name: string): Outcome {
  const chain = context.ruleset.chains.get(name);
  assert.ok(chain !== undefined, `chain ${name}`);
  for (const rule of chain.rules) {
    const outcome = runRule(context, rule);
    if (outcome !== 'next') return outcome;
  }
  return 'return';
}

/** 'next' where the chain's next rule follows; 'return' where the rule left the chain for good, by `goto`. */
function runRule(context: Context, rule: Rule): Outcome {
  for (const statement of rule) {
    const outcome = runStatement(context, statement);
    if (outcome === 'break') return 'next';
    if (outcome !== 'next') return outcome;
  }
  return 'next';
}

function runStatement(context: Context, statement: Json): Outcome {
  const [[kind, body]] = Object.entries(statement) as [string, Json][];
  switch (kind) {
    case 'accept':
    case 'drop':
    case 'reject':
      return kind;
    case 'jump': {
      const outcome = runChain(context, body['target'] as string);
      return outcome === 'return' ? 'next' : outcome;
    }
    case 'goto':
      // The chains that remember and accept are filled in with the generation: a new flow isn't known, and is allowed.
      if (body['target'] === 'allow') return 'accept';
      return runChain(context, body['target'] as string);
    case 'match':
      return matches(context, body) ? 'next' : 'break';
    case 'vmap': {
      const key = value(context, body['key']);
      const map = context.ruleset.sets.get((body['data'] as string).slice(1));
      const target = key === undefined ? undefined : map?.elements.get(key as string);
      if (target === undefined) return 'next';
      const outcome = runChain(context, target);
      return map?.value === 'jump' && outcome === 'return' ? 'next' : outcome;
    }
    case 'mangle':
      return 'next';
    case 'set':
      // The packets of a test stay below every rate.
      return 'break';
    default:
      throw new Error(`statement ${kind}`);
  }
}

function matches(context: Context, { op, left, right }: Json): boolean {
  const actual = value(context, left);
  if (actual === undefined) return false;
  const holds = equals(context, actual, right);
  return op === '!=' ? !holds : holds;
}

function equals(context: Context, actual: unknown, right: unknown): boolean {
  if (typeof right === 'string' && right.startsWith('@'))
    return setHolds(context.ruleset, right.slice(1), Array.isArray(actual) ? actual : [actual]);
  if (Array.isArray(right)) return right.includes(actual);
  if (typeof right === 'object' && right !== null) {
    const { set, prefix } = right as { set?: unknown[]; prefix?: { addr: string; len: number } };
    if (set !== undefined) return set.includes(actual);
    if (prefix !== undefined) return inPrefix(`${prefix.addr}/${String(prefix.len)}`, actual as string);
    throw new Error(JSON.stringify(right));
  }
  return names[String(right)] === actual || right === actual;
}

const names: Readonly<Record<string, unknown>> = { tcp: 6 };

function setHolds(ruleset: Ruleset, name: string, key: readonly unknown[]): boolean {
  const set = ruleset.sets.get(name);
  assert.ok(set !== undefined && set.key.length === key.length, `set ${name}`);
  let found = 0;
  for (const element of set.elements.keys()) {
    const parts = element.split('|');
    if (parts.every((part, i) => inRange(part, key[i] as string | number))) found++;
  }
  // The kernel refuses elements that overlap.
  assert.ok(found <= 1, `${String(found)} elements of ${name} hold ${JSON.stringify(key)}`);
  return found === 1;
}

function inRange(range: string, actual: string | number): boolean {
  const [first, last = first] = range.split('-').map(numberOf);
  const number = numberOf(String(actual));
  return first <= number && number <= last;
}

function numberOf(text: string): bigint {
  return parseAddress(text)?.value ?? BigInt(text);
}

function inPrefix(prefix: string, address: string): boolean {
  return prefixContains(parsePrefix(prefix)!, parseAddress(address)!);
}

/** The value of an expression; undefined where the packet has none, which ends the rule. */
function value({ packet, input, output, own }: Context, expression: unknown): unknown {
  const [[kind, body]] = Object.entries(expression as Json) as [string, Json][];
  const key = (body['key'] ?? body['field']) as string;
  const isIpv6 = packet.destination.includes(':');
  switch (kind) {
    case 'concat': {
      const parts = (body as unknown as unknown[]).map((part) =>
        value({ packet, input, output, own } as Context, part),
      );
      return parts.includes(undefined) ? undefined : parts;
    }
    case 'meta':
      return { iifname: input, oifname: output, l4proto: packet.protocol }[key];
    case 'ct':
      return { direction: 'original', state: 'new', mark: 0 }[key];
    case 'fib':
      return own.includes(packet.destination) ? 'local' : 'unicast';
    case '&':
      return undefined;
    case 'payload':
      switch (body['protocol']) {
        case 'ip':
        case 'ip6':
          if ((body['protocol'] === 'ip6') !== isIpv6) return undefined;
          return { saddr: packet.source, daddr: packet.destination }[key];
        case 'th':
          return { sport: 40_000, dport: packet.port }[key];
        case 'tcp':
          return packet.protocol === 6 ? packet.port : undefined;
        case 'udp':
          return packet.protocol === 17 ? packet.port : undefined;
        case 'icmp':
          return packet.protocol === 1 && !isIpv6 ? 'echo-request' : undefined;
        case 'icmpv6':
          return packet.protocol === 58 && isIpv6 ? 'echo-request' : undefined;
      }
  }
  throw new Error(`expression ${JSON.stringify(expression)}`);
}
