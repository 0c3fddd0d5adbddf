/** Forgets what its time is over for, docs/privacy.md lists the times; and renews what must not end. */
import type { Transaction } from 'kysely';
import { expireAudit } from './audit/audit-log.ts';
import { IDEMPOTENCY_MS } from './http/idempotency.ts';
import { renewGatewayCertificates } from './openvpn/gateway-certificates.ts';
import { dayOf } from './repositories/usage.ts';
import type { Services } from './services.ts';
import type { Database } from './store/schema.ts';
import { SYSTEM } from './store/store.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;
/** How long one-time tokens and API tokens that are over still stand in lists, for those who wonder. */
const PAST_TOKENS_MS = 30 * DAY_MS;

/** Looks after it now and every hour, until the result is called. */
export function keepHouse(services: Services): () => void {
  const work = async (): Promise<void> => {
    try {
      await forgetOld(services);
    } catch (error) {
      services.log.warn({ err: error }, 'what is old could not be removed; another attempt follows in an hour');
    }
    try {
      await renewGatewayCertificates(services);
    } catch (error) {
      services.log.error({ err: error }, 'certificates of OpenVPN gateways could not be renewed; another attempt follows in an hour'); // prettier-ignore
    }
  };
  const timer = setInterval(() => void work(), HOUR_MS).unref();
  void work();
  return () => {
    clearInterval(timer);
  };
}

/** Once. Each step is a transaction of its own, so that changes get their turn in between. */
export async function forgetOld({ store, directory, now: clock }: Services): Promise<void> {
  const now = clock();
  const { connectionAudit, usageRetentionDays } = directory.settings;
  await expireAudit(store, now - connectionAudit.retentionDays * DAY_MS);
  const past = now - PAST_TOKENS_MS;
  const steps: readonly ((db: Transaction<Database>) => { execute(): Promise<unknown> })[] = [
    (db) => db.deleteFrom('usage').where('day', '<', dayOf(now - usageRetentionDays * DAY_MS)),
    (db) => db.deleteFrom('session').where('expires_at', '<=', now),
    (db) => db.deleteFrom('device_authorization').where('expires_at', '<=', now),
    (db) => db.deleteFrom('tunnel_login').where('expires_at', '<=', now),
    (db) => db.deleteFrom('known_client').where('expires_at', '<=', now),
    (db) => db.deleteFrom('used_challenge').where('expires_at', '<=', now),
    (db) => db.deleteFrom('idempotency').where('created_at', '<', now - IDEMPOTENCY_MS),
    (db) => db.deleteFrom('invitation').where('expires_at', '<', past),
    (db) => db.deleteFrom('join_token').where('expires_at', '<', past),
    (db) => db.deleteFrom('api_token').where('expires_at', '<', past),
  ];
  for (const step of steps) await store.write(SYSTEM, ({ db }) => step(db).execute());
}
