import { hash } from 'node:crypto';
import type { DesiredState } from '@sallyport/policy';

// States share what is the same in them, maps and entries, and neither is changed.
const digests = new WeakMap<object, string>();

/**
 * A digest of all that a state holds. By it a control plane that was started again, or another control node, knows
 * that a gateway already has what is wanted now, whatever the reason for which it might not: another version of this
 * program, other pools, a database that was restored.
 */
export function digestOf(state: DesiredState): string {
  return sha256([canonical(state.gateway), mapDigest(state.groups), mapDigest(state.devices)].join('\n'));
}

function mapDigest(map: ReadonlyMap<string, object>): string {
  return remembered(map, () =>
    sha256(
      [...map.keys()]
        .sort()
        .map((id) => entryDigest(map.get(id)!))
        .join('\n'),
    ),
  );
}

function entryDigest(entry: object): string {
  return remembered(entry, () => sha256(canonical(entry)));
}

/** After a change of one of ten thousand devices all but that one are known. */
function remembered(what: object, make: () => string): string {
  let digest = digests.get(what);
  if (digest === undefined) digests.set(what, (digest = make()));
  return digest;
}

/** JSON with the fields in the order of their names: the same content gives the same text. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const fields: string[] = [];
  for (const key of Object.keys(value).sort()) {
    const item = (value as Record<string, unknown>)[key];
    if (item !== undefined) fields.push(`${JSON.stringify(key)}:${canonical(item)}`);
  }
  return `{${fields.join(',')}}`;
}

function sha256(text: string): string {
  return hash('sha256', text, 'base64');
}
