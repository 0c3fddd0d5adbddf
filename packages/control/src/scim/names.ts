/** The short names here that are made from those of the client. */
import type { Kysely } from 'kysely';
import type { Database } from '../store/schema.ts';

/** Leaves room for a suffix within the 63 characters of a name. */
const maxBase = 56;

/** `Zoë.Müller@example.com` becomes `zoe.muller`, `VPN Users (EU)` becomes `vpn-users-eu`; where nothing is left, `fallback`. */
export function shortNameOf(name: string, fallback: string): string {
  const at = name.lastIndexOf('@');
  const base = (at > 0 ? name.slice(0, at) : name)
    .normalize('NFKD')
    .replace(/\p{M}/gu, '')
    .toLowerCase()
    .replace(/[^a-z0-9._]+/g, '-')
    .slice(0, maxBase)
    .replace(/^[._-]+|[._-]+$/g, '');
  return base === '' ? fallback : base;
}

/** The name itself, or with the first free suffix: nobody is taken over for a name. */
export async function freeName(db: Kysely<Database>, table: 'user' | 'group', base: string): Promise<string> {
  const rows = await db
    .selectFrom(table)
    .select('name')
    .where((eb) => eb.or([eb('name', '=', base), eb.and([eb('name', '>', `${base}-`), eb('name', '<', `${base}.`)])]))
    .execute();
  const taken = new Set(rows.map(({ name }) => name));
  let name = base;
  for (let suffix = 2; taken.has(name); suffix++) name = `${base}-${suffix}`;
  return name;
}
