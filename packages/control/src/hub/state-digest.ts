import { hash } from 'node:crypto';
import type { DesiredState } from '@sallyport/policy';

// Gateways share their maps of devices and groups where these are the same, and a map isn't changed.
const digests = new WeakMap<object, string>();

/**
 * A digest of all that a state holds. By it a control plane that was started again, or another control node, knows
 * that a gateway already has what is wanted now, whatever the reason for which it might not: another version of this
 * program, other pools, a database that was restored.
 */
export function digestOf(state: DesiredState): string {
  return sha256([JSON.stringify(sorted(state.gateway)), mapDigest(state.groups), mapDigest(state.devices)].join('\n'));
}

function mapDigest(map: ReadonlyMap<string, object>): string {
  let digest = digests.get(map);
  if (digest === undefined) {
    const entries = [...map].sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
    digest = sha256(entries.map(([, entry]) => JSON.stringify(sorted(entry))).join('\n'));
    digests.set(map, digest);
  }
  return digest;
}

/** With its fields in the order of their names: the same content gives the same text. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([key, item]) => [key, sorted(item)]),
  );
}

function sha256(text: string): string {
  return hash('sha256', text);
}
