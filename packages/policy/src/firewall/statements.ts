/** The statements and expressions of libnftables' JSON that the rules are made of. */
import { parsePrefix } from '../access/ip.ts';
import type { Family } from './address-ranges.ts';
import type { Statement } from './ruleset.ts';

export const ACCEPT: Statement = { accept: null };
export const DROP: Statement = { drop: null };

export const l4proto = { meta: { key: 'l4proto' } };

export function jump(target: string): Statement {
  return { jump: { target } };
}

export function goto(target: string): Statement {
  return { goto: { target } };
}

export function payload(protocol: string, field: string): object {
  return { payload: { protocol, field } };
}

/** The source or destination address of a packet; a rule that asks for it matches packets of this family only. */
export function address(family: Family, field: 'saddr' | 'daddr'): object {
  return payload(family === 4 ? 'ip' : 'ip6', field);
}

export function match(left: object, right: unknown, op: '==' | '!=' | 'in' = '=='): Statement {
  return { match: { op, left, right } };
}

export function inInterface(name: string): Statement {
  return match({ meta: { key: 'iifname' } }, name);
}

/** The packet came in (or leaves) by none of the interfaces. */
export function notInterface(key: 'iifname' | 'oifname', ...names: readonly string[]): Statement {
  return match({ meta: { key } }, names.length === 1 ? names[0] : { set: [...names].sort() }, '!=');
}

export function state(name: 'new' | 'established' | 'related' | 'invalid'): Statement {
  return match({ ct: { key: 'state' } }, name, 'in');
}

export function direction(name: 'original' | 'reply'): Statement {
  return match({ ct: { key: 'direction' } }, name);
}

/** The address is in the prefix (or, with `!=`, is not). */
export function within(family: Family, field: 'saddr' | 'daddr', prefix: string, op: '==' | '!=' = '=='): Statement {
  return match(address(family, field), rangeOfPrefix(family, prefix), op);
}

/** The prefix as the right side of a match. */
export function rangeOfPrefix(family: Family, prefix: string): unknown {
  const [addr, length] = prefix.split('/');
  const single = parsePrefix(prefix)?.length === (family === 4 ? 32 : 128);
  return single ? addr : { prefix: { addr, len: Number(length) } };
}
