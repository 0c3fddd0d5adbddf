import { accessRoutes, type AccessExplanation } from '@sallyport/api';
import { explain, whoCanReach, type AccessAnswer, type AccessModel, type Target } from '@sallyport/policy';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { cursorOf, pageOf } from '../repositories/pages.ts';
import { found, idOf } from './answers.ts';
import { Faults } from './faults.ts';
import { checkDestination, checkPort } from './policy-values.ts';

interface AccessQuery extends Pick<Target, 'destination' | 'protocol'> {
  readonly port?: number | undefined;
  readonly gateway?: string | undefined;
}

export const explainRoutes: readonly RouteImplementation[] = [
  implement(accessRoutes.explainAccess, async ({ services, query }) => {
    const { model } = services.directory;
    const target = targetOf(model, query);
    const userId = found(idOf(model.users, query.user), 'user');
    return await Promise.resolve(describe(model, userId, explain(model, { userId, ...target }, services.now())));
  }),

  implement(accessRoutes.whoCanReach, async ({ services, query }) => {
    const { model } = services.directory;
    const cursor = cursorOf(query.after);
    const reachers = whoCanReach(model, targetOf(model, query), services.now());
    const rows = reachers.map((reacher) => ({
      ...reacher,
      id: reacher.userId,
      name: model.users.get(reacher.userId)?.name ?? '',
    }));
    const from = cursor === undefined ? 0 : rows.findIndex(({ name }) => name > cursor.name);
    const { items, next } = pageOf(from < 0 ? [] : rows.slice(from, from + query.limit + 1), query.limit);
    return await Promise.resolve({ items: items.map(({ userId, answer }) => describe(model, userId, answer)), next });
  }),
];

function targetOf(model: AccessModel, { destination, protocol, port, gateway }: AccessQuery) {
  const faults = new Faults();
  checkDestination(destination, '/query', faults);
  checkPort(protocol, port ?? null, '/query', faults);
  faults.check();
  const gatewayId = gateway === undefined ? null : found(idOf(model.gateways, gateway), 'gateway');
  return { destination, protocol, port: port ?? null, gatewayId };
}

function describe(model: AccessModel, userId: string, answer: AccessAnswer): AccessExplanation {
  const name = (entities: ReadonlyMap<string, { readonly name: string }>, id: string | null): string | null =>
    id === null ? null : (entities.get(id)?.name ?? id);
  return {
    userId,
    userName: model.users.get(userId)?.name ?? userId,
    verdict: answer.verdict,
    reason: answer.reason,
    ruleId: answer.ruleId,
    ruleName: name(model.rules, answer.ruleId),
    resourceId: answer.resourceId,
    resourceName: name(model.resources, answer.resourceId),
    groupId: answer.groupId,
    groupName: name(model.groups, answer.groupId),
    standing: answer.standing,
    gateways: [...answer.gateways],
    text: answer.text,
  };
}
