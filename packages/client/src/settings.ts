/** What a person can set of the client, with `sallyport set`. */
import { z } from 'zod';

const address = z.union([z.ipv4(), z.ipv6()], 'an IPv4 or IPv6 address');
const prefix = z.union([z.cidrv4(), z.cidrv6()], 'a prefix: 10.20.0.0/16, fd20::/48');

/** How datagrams reach the gateway: each looks less like a VPN than the one before, and costs more. */
export const TRANSPORTS = ['wireguard', 'amneziawg', 'tls'] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** In the place of an entry's name: for once, the gateway is entered and left. */
export const NO_ENTRY = 'none';

export const clientSettings = z.strictObject({
  /** From connect on nothing leaves the machine but to the gateway. */
  killSwitch: z.boolean().default(true),
  /** Nothing leaves the machine without a tunnel: before the first connection, after disconnect, and from boot. */
  lockdown: z.boolean().default(false),
  /** What may pass beside the tunnel all the same. */
  allowLocalNetwork: z.boolean().default(false),
  allowDhcp: z.boolean().default(true),
  /** Where `connect` goes without an argument: a region, a gateway, or `fastest`. */
  target: z.string().min(1).max(64).default('fastest'),
  /** Enter at this gateway and leave at the target. */
  via: z.string().min(1).max(64).nullable().default(null),
  /** Connect when the daemon starts. */
  autoConnect: z.boolean().default(false),
  transport: z.enum(['auto', ...TRANSPORTS]).default('auto'),
  /** Agree a preshared key with ML-KEM-768. */
  postQuantum: z.boolean().default(true),
  /** Name servers; none: those that the service names, or else the gateway. They are asked through the tunnel. */
  dnsServers: z.array(address).max(8).default([]),
  split: z
    .strictObject({
      /** `exclude`: all but these networks go through the tunnel. `include`: only these do, and nothing else is blocked. */
      mode: z.enum(['off', 'exclude', 'include']).default('off'),
      networks: z.array(prefix).max(200).default([]),
    })
    .prefault({}),
  /** Networks behind this machine that it offers to others. */
  advertise: z.array(prefix).max(64).default([]),
  /** Of the tunnel's interface; null: what is found by probing. */
  mtu: z.number().int().min(1280).max(9000).nullable().default(null),
});

export type ClientSettings = z.infer<typeof clientSettings>;

/** The settings as if an administrator demanded the kill switch, for everything: where it can't be known that none does. */
export function protecting(settings: ClientSettings): ClientSettings {
  const { split } = settings;
  return { ...settings, killSwitch: true, split: split.mode === 'include' ? { ...split, mode: 'off' } : split };
}

/** What is wanted at a start without a wish of the last run's. */
export function automaticIntent({
  autoConnect,
  target,
  via,
}: ClientSettings): { target: string; via: string | null } | undefined {
  return autoConnect ? { target, via } : undefined;
}
