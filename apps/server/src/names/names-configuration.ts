import { z } from 'zod';

const name = z.string().max(254);
const servers = (most: number) => z.array(z.string().max(512)).max(most);

/** The form of NamesPlan in packages/policy, and how much of it there may be. */
export const namesPlan = z.object({
  upstreams: servers(16),
  blocked: z.array(name).max(10_000),
  blockLists: z.array(z.string().max(2048)).max(32),
  hosts: z.array(z.object({ name, addresses: z.array(z.string().max(64)).max(16) })).max(10_000),
  domains: z.array(z.object({ domain: name, servers: servers(8) })).max(1000),
});

/**
 * What the gateway's process tells the supervisor: where names are to be answered, for whom (prefixes), and how. Without a
 * plan nowhere.
 */
export const namesOrder = z.object({
  kind: z.literal('names'),
  addresses: z.array(z.ipv4().or(z.ipv6())).max(4),
  clients: z.array(z.cidrv4().or(z.cidrv6())).max(8),
  plan: namesPlan.optional(),
});
export type NamesOrder = z.infer<typeof namesOrder>;

/** What the supervisor tells the process while it runs. */
export const namesChange = z.object({ clients: namesOrder.shape.clients, plan: namesPlan });

/** What the process reads from its standard input. */
export const namesConfiguration = namesChange.extend({
  addresses: namesOrder.shape.addresses.min(1),
  port: z.number().int().min(1).max(65_535),
  /** Where block lists are kept. */
  folder: z.string().startsWith('/'),
  user: z.strictObject({ uid: z.number().int().min(1), gid: z.number().int().min(1) }),
  logLevel: z.enum(['error', 'warn', 'info', 'debug']),
});
export type NamesConfiguration = z.infer<typeof namesConfiguration>;

/** What the machine's own configuration says of it. */
export type NamesSettings = Pick<NamesConfiguration, 'port' | 'folder' | 'user' | 'logLevel'>;
