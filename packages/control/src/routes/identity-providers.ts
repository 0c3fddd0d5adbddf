import { routes, type IdentityProvider } from '@sallyport/api';
import type { Kysely } from 'kysely';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { checkVersion } from '../http/version.ts';
import { isAllowedAddress } from '../oidc/bounded-fetch.ts';
import { checkProvider } from '../oidc/check-provider.ts';
import { resolveGroups } from '../repositories/groups.ts';
import {
  clientSecretOf,
  deleteIdentityProvider,
  describeIdentityProvider,
  findIdentityProvider,
  hasIdentities,
  insertIdentityProvider,
  listIdentityProviders,
  updateIdentityProvider,
  valueOf,
  type IdentityProviderValue,
} from '../repositories/identity-providers.ts';
import type { Database } from '../store/schema.ts';
import { found, nameTaken } from './answers.ts';
import { Faults } from './faults.ts';
import { merge } from './merge.ts';

const defaults = {
  scopes: ['openid', 'profile', 'email'],
  enabled: true,
  createUsers: false,
  emailDomains: [],
  linkByEmail: false,
  asksSecondFactor: false,
  groupsClaim: 'groups',
  groupsByName: false,
  groupMapping: [],
};

export const identityProviderRoutes: readonly RouteImplementation[] = [
  implement(routes.listIdentityProviders, async ({ services }) => {
    const rows = await listIdentityProviders(services.store.db);
    return { items: rows.map((row) => describeIdentityProvider(row, services.publicUrl())), next: null };
  }),

  implement(routes.createIdentityProvider, ({ body, services, origin }) =>
    services.store.write(origin, async (writing) => {
      const { db } = writing;
      const { clientSecret, ...given } = body;
      const { name, issuer, clientId } = given;
      const value = await checked(db, merge<IdentityProviderValue>({ ...defaults, name, issuer, clientId }, given));
      await requireFreeName(db, value.name);
      const row = await insertIdentityProvider(services.store, writing, value, clientSecret ?? null);
      return describeIdentityProvider(row, services.publicUrl());
    }),
  ),

  implement(routes.getIdentityProvider, async ({ params, services }) => {
    const row = found(await findIdentityProvider(services.store.db, params.providerId), 'identity provider');
    return describeIdentityProvider(row, services.publicUrl());
  }),

  implement(routes.updateIdentityProvider, ({ params, body, services, origin, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const { db } = writing;
      const before = found(await findIdentityProvider(db, params.providerId), 'identity provider');
      checkVersion(before.version, ifMatch);
      const { clientSecret, ...given } = body;
      const old = valueOf(before);
      const value = await checked(db, merge(old, given), given);
      if (value.name !== old.name) await requireFreeName(db, value.name);
      if (value.issuer !== old.issuer) {
        // Its users would be whoever has the same identifiers there.
        if (await hasIdentities(db, before.id)) {
          throw new ApiError(
            'conflict',
            'People have logged in by this provider, and at another issuer somebody else may have their identifiers: add another provider instead.',
          );
        }
        if (before.sealed_client_secret !== null && clientSecret === undefined) {
          const faults = new Faults();
          faults.add('/body/clientSecret', 'give it along with another issuer, which must not get the one of before');
          faults.check();
        }
      }
      const row = await updateIdentityProvider(services.store, writing, before, value, clientSecret);
      return describeIdentityProvider(row, services.publicUrl());
    }),
  ),

  implement(routes.deleteIdentityProvider, ({ params, services, origin, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const row = found(await findIdentityProvider(writing.db, params.providerId), 'identity provider');
      checkVersion(row.version, ifMatch);
      await deleteIdentityProvider(writing, row);
    }),
  ),

  implement(routes.checkIdentityProvider, async ({ params, services }) => {
    const row = found(await findIdentityProvider(services.store.db, params.providerId), 'identity provider');
    return checkProvider(row, clientSecretOf(services.store, row));
  }),
];

/** A value whose parts fit. `given` are those that are new: what it held before may name a group that is gone. */
async function checked(
  db: Kysely<Database>,
  value: IdentityProviderValue,
  given: { readonly groupMapping?: IdentityProvider['groupMapping'] | undefined } = value,
): Promise<IdentityProviderValue> {
  const faults = new Faults();
  const issuer = new URL(value.issuer);
  if (!isAllowedAddress(issuer)) {
    faults.add('/body/issuer', 'an https address; http is for a provider on this very machine, to try it out');
  } else if (issuer.username !== '' || issuer.password !== '' || /[?#]|\/\.well-known\//.test(value.issuer)) {
    faults.add('/body/issuer', 'an issuer has no user, query or fragment, and ends before /.well-known/');
  }
  if (!value.scopes.includes('openid')) faults.add('/body/scopes', 'must have openid among them');
  for (const [index, scope] of value.scopes.entries()) {
    // RFC 6749, section 3.3.
    if (!/^[\x21\x23-\x5b\x5d-\x7e]+$/.test(scope)) faults.add(`/body/scopes/${index}`, 'one scope, without spaces');
  }
  faults.check();
  const emailDomains = value.emailDomains.map((domain) => domain.toLowerCase());
  if (given.groupMapping === undefined) return { ...value, emailDomains };
  const references = value.groupMapping.map(({ groupId }) => groupId);
  const groups = await resolveGroups(db, references, '/body/groupMapping');
  return {
    ...value,
    emailDomains,
    groupMapping: value.groupMapping.map(({ claim }, index) => ({ claim, groupId: groups[index] })),
  };
}

async function requireFreeName(db: Kysely<Database>, name: string): Promise<void> {
  const taken = await db.selectFrom('identity_provider').select('id').where('name', '=', name).executeTakeFirst();
  if (taken !== undefined) throw nameTaken('identity provider', name);
}
