/** Users who use up the month's traffic, or may go on with it: said to all control nodes, whose gateways then follow. */
import { isTrafficUsedUp, limitsOf } from '@sallyport/policy';
import { trafficThisMonth } from '../repositories/usage.ts';
import type { Services } from '../services.ts';
import { SYSTEM } from '../store/store.ts';

/** Looks at users who had traffic, those with a limit among them, and says who went over it or came back under it. */
export async function applyTrafficLimits(services: Services, users: Iterable<string>): Promise<void> {
  const { store, directory, now } = services;
  const { model } = directory;
  const limited = [...new Set(users)].filter((id) => {
    const user = model.users.get(id);
    return user !== undefined && limitsOf(model, user).trafficBytesPerMonth !== null;
  });
  if (limited.length === 0) return;
  const totals = await trafficThisMonth(store.db, limited, now());
  const crossed = limited.filter((id) => {
    const user = model.users.get(id)!;
    const limit = limitsOf(model, user).trafficBytesPerMonth ?? Infinity;
    return (totals.get(id) ?? 0) >= limit !== isTrafficUsedUp(model, user);
  });
  if (crossed.length === 0) return;
  await store.write(SYSTEM, async ({ audit, changed }) => {
    for (const id of crossed) {
      const user = model.users.get(id)!;
      const usedUp = (totals.get(id) ?? 0) >= (limitsOf(model, user).trafficBytesPerMonth ?? Infinity);
      await audit(usedUp ? 'user.trafficUsedUp' : 'user.trafficAvailable', { kind: 'user', id, name: user.name });
      changed('usage', id);
    }
  });
}
