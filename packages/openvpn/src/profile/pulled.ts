import { splitWords } from './lex.ts';
import { finishNetwork, NETWORK_OPTIONS, newNetworkDraft } from './network-options.ts';
import type { NetworkSettings, OpenVpnProfile } from './profile.ts';

/** What --route-nopull passes over. */
const ROUTES_AND_NAMES: ReadonlySet<string> = new Set([
  'route',
  'route-ipv6',
  'route-gateway',
  'route-metric',
  'redirect-gateway',
  'redirect-private',
  'dhcp-option',
  'dns',
  'block-ipv6',
]);

/** What becomes of an option that a server pushed, by the profile's --pull-filter: the first that fits counts. */
export function pullAction({ pull }: OpenVpnProfile, option: string): 'accept' | 'ignore' | 'reject' {
  return pull.filters.find(({ prefix }) => option.startsWith(prefix))?.action ?? 'accept';
}

/**
 * The settings of a profile with what the server pushed, which comes behind it. `faults` are pushed options that can't be
 * obeyed, in words for people: they are passed over.
 */
export function pulledNetwork(
  profile: OpenVpnProfile,
  pushed: readonly string[],
): { readonly network: NetworkSettings; readonly faults: readonly string[] } {
  const draft = newNetworkDraft(profile.network);
  const faults: string[] = [];
  for (const text of pushed) {
    if (pullAction(profile, text) !== 'accept') continue;
    const words = splitWords(text);
    if (typeof words === 'string') continue;
    const [name = '', ...args] = words;
    const option = NETWORK_OPTIONS.get(name);
    if (option === undefined || (profile.pull.noRoutes && ROUTES_AND_NAMES.has(name))) continue;
    const fits = args.length >= option.words[0] && args.length <= option.words[1];
    const fault = fits ? option.take(draft, args) : 'the number of its words is wrong';
    if (fault !== undefined) faults.push(`${name}: ${fault}`);
  }
  return { network: finishNetwork(draft), faults };
}
