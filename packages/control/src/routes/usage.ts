import { gatewayRoutes as contracts } from '@sallyport/api';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { References } from '../repositories/references.ts';
import { usageByDay } from '../repositories/usage.ts';
import { found } from './answers.ts';

export const usageRoutes: readonly RouteImplementation[] = [
  implement(contracts.getUsage, async ({ services, query }) => ({
    items: await usageByDay(services.store.db, query, services.now()),
    next: null,
  })),

  implement(contracts.getUserUsage, async ({ services, params, query }) => {
    const { db } = services.store;
    const references = await References.read(db, ['user']);
    const userId = found(references.idOf('user', params.userId), 'user');
    return { items: await usageByDay(db, { ...query, userId }, services.now()), next: null };
  }),

  implement(contracts.getDeviceUsage, async ({ services, params, query }) => {
    const { db } = services.store;
    const { deviceId } = params;
    found(await db.selectFrom('device').select('id').where('id', '=', deviceId).executeTakeFirst(), 'device');
    return { items: await usageByDay(db, { ...query, deviceId }, services.now()), next: null };
  }),

  implement(contracts.getMyUsage, async ({ services, caller, query }) => ({
    items: await usageByDay(services.store.db, { ...query, userId: caller.userId }, services.now()),
    next: null,
  })),
];
