/** Networks that lie behind devices: which of them a gateway can route to the tunnel. */
import { formatPrefix, parsePrefix, type IpPrefix } from '../access/ip.ts';
import { rangeOf, rangesOf, subtract, unite, type AddressRange, type Family } from './address-ranges.ts';
import type { FirewallPlan } from './plan.ts';

/** The most networks behind all devices of a gateway. */
export const MAX_NETWORKS = 1000;
/** The most networks behind all devices of the service. */
export const MAX_CONNECTED_NETWORKS = 10_000;

/** Shorter prefixes are halves of the world rather than anybody's network. */
const SHORTEST: Readonly<Record<Family, number>> = { 4: 8, 6: 16 };

/** What never lies behind a router. */
const NOWHERE: readonly (readonly [prefix: string, what: string])[] = [
  ['0.0.0.0/8', 'this network'],
  ['127.0.0.0/8', 'loopback'],
  ['169.254.0.0/16', 'link-local'],
  ['224.0.0.0/3', 'multicast and reserved'],
  ['::/16', 'loopback and mapped IPv4'],
  ['fe80::/10', 'link-local'],
  ['ff00::/8', 'multicast'],
];

/**
 * Why a prefix can't be a network behind a device, in words; undefined where it can. `taken` are prefixes and addresses
 * that it must not meet: the pools, and where they are known the gateway's own addresses.
 */
export function faultOfNetwork(text: string, taken: readonly string[]): string | undefined {
  const prefix = text.includes('/') ? parsePrefix(text) : undefined;
  if (prefix === undefined) return `${text} is no prefix`;
  if (formatPrefix(prefix) !== text) return `${text} is not written as ${formatPrefix(prefix)}`;
  const shortest = SHORTEST[prefix.family];
  if (prefix.length < shortest) return `${text} is too large: at most a /${String(shortest)}`;
  for (const [range, what] of NOWHERE) if (prefixesOverlap(text, range)) return `${text} meets ${range} (${what})`;
  const met = taken.find((other) => prefixesOverlap(text, other));
  return met === undefined ? undefined : `${text} meets ${met}`;
}

/** Whether no router passes on what is for an address, or for some of a prefix: loopback, link-local, multicast, reserved. */
export function isNowhere(text: string): boolean {
  return NOWHERE.some(([range]) => prefixesOverlap(text, range));
}

/** Whether an address is in both prefixes (or addresses). */
export function prefixesOverlap(a: string, b: string): boolean {
  const [first, second] = [parsePrefix(a), parsePrefix(b)];
  return first !== undefined && second !== undefined && overlap(first, second);
}

interface WithNetworks {
  readonly id: string;
  readonly networks?: readonly string[] | undefined;
}

export interface UsableNetworks {
  /** By device; those that have none aren't in it. */
  readonly byDevice: ReadonlyMap<string, readonly string[]>;
  /** What is wrong with the others, in words. */
  readonly faults: readonly string[];
}

/** Leaves out what can't be routed: of two that overlap, the one of the device with the greater id. */
export function usableNetworks(devices: Iterable<WithNetworks>, taken: readonly string[]): UsableNetworks {
  const byDevice = new Map<string, string[]>();
  const faults: string[] = [];
  const kept: { readonly text: string; readonly prefix: IpPrefix; readonly device: string }[] = [];
  const having = [...devices].filter(({ networks = [] }) => networks.length > 0);
  for (const { id, networks = [] } of having.sort((a, b) => (a.id < b.id ? -1 : 1))) {
    for (const text of networks) {
      const prefix = parsePrefix(text);
      let fault = faultOfNetwork(text, taken);
      if (fault === undefined && prefix !== undefined) {
        const other = kept.find((known) => overlap(known.prefix, prefix));
        if (other !== undefined) fault = `${text} meets ${other.text}, which lies behind another device`;
        else if (kept.length >= MAX_NETWORKS) fault = `${text} is one network too many`;
        else {
          kept.push({ text, prefix, device: id });
          byDevice.set(id, [...(byDevice.get(id) ?? []), text]);
        }
      }
      if (fault !== undefined) faults.push(fault);
    }
  }
  return { byDevice, faults };
}

/** The networks of all devices as ranges. */
export function networkRanges(family: Family, devices: readonly WithNetworks[]): AddressRange[] {
  return devices.flatMap(({ networks = [] }) => rangesOf(family, networks));
}

/**
 * What is known to lie behind devices, though behind none that the gateway routes it to. Whoever has these addresses where
 * the gateway's own routes lead is somebody else, and no rule means them.
 */
export function cutOffRanges(
  family: Family,
  plan: Pick<FirewallPlan, 'connectedNetworks' | 'devices'>,
): AddressRange[] {
  const routed = unite(networkRanges(family, plan.devices));
  return unite(rangesOf(family, plan.connectedNetworks ?? [])).flatMap((range) => subtract(range, routed));
}

/** What is this service's own, or behind its devices: neither the internet nor another gateway. */
export function insidePrefixes({ gateway, ownAddresses, devices, connectedNetworks = [] }: FirewallPlan): string[] {
  const behind = devices.flatMap(({ networks = [] }) => networks);
  return [gateway.pool4, gateway.pool6, ...ownAddresses, ...behind, ...connectedNetworks];
}

function overlap(a: IpPrefix, b: IpPrefix): boolean {
  if (a.family !== b.family) return false;
  const [first, second] = [rangeOf(a), rangeOf(b)];
  return first.first <= second.last && second.first <= first.last;
}
