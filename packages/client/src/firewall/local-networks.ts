import { contains, formatPrefix, parsePrefix, type Prefix } from '../ip.ts';

const prefix = (text: string): Prefix => {
  const parsed = parsePrefix(text);
  if (parsed === undefined) throw new Error(`no prefix: ${text}`);
  return parsed;
};

/** What may be a local network: RFC 1918, link-local (RFC 3927, RFC 4291), unique local (RFC 4193). */
const privateRanges = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '169.254.0.0/16', 'fe80::/10', 'fc00::/7'].map(prefix); // prettier-ignore

/** Whether a prefix lies within those ranges. */
export function isPrivateNetwork(text: string): boolean {
  const parsed = parsePrefix(text);
  return parsed !== undefined && privateRanges.some((range) => contains(range, parsed));
}

/** A network that hands out shorter prefixes wants more than what is near. */
const shortest = { 4: 16, 6: 48 } as const;

/**
 * Those of the on-link prefixes that count as the local network. Public ranges never do: a network that claims to be the
 * whole internet would get its traffic (TunnelCrack's LocalNet), and neither do private ones that are too wide.
 */
export function localNetworksOf(onLink: readonly string[]): string[] {
  const found = new Set<string>();
  for (const text of onLink.slice(0, 64)) {
    const parsed = parsePrefix(text);
    if (parsed === undefined || parsed.length < shortest[parsed.family]) continue;
    if (privateRanges.some((range) => contains(range, parsed))) found.add(formatPrefix(parsed));
  }
  return [...found].sort();
}
