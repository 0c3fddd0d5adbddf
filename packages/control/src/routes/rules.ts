import { accessRoutes } from '@sallyport/api';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { checkVersion } from '../http/version.ts';
import { References } from '../repositories/references.ts';
import * as repository from '../repositories/rules.ts';
import { isUniqueViolation } from '../store/database-errors.ts';
import type { Writing } from '../store/store.ts';
import { found, nameTaken } from './answers.ts';
import { Faults } from './faults.ts';
import { merge } from './merge.ts';
import { refuseBrokenTests } from './policy-guard.ts';
import { ruleValue, type RuleInput } from './policy-values.ts';

export const ruleRoutes: readonly RouteImplementation[] = [
  implement(accessRoutes.listRules, ({ services, query }) => repository.listRules(services.store.db, query)),

  implement(accessRoutes.createRule, ({ services, origin, body }) =>
    services.store.write(origin, async (writing) => {
      const faults = new Faults();
      const input = { ...body, enabled: body.enabled ?? true, gateways: body.gateways ?? [] };
      const value = ruleValue(input, await referencesOf(writing, input), '/body', faults);
      faults.check();
      if ((await repository.findRule(writing.db, value.name)) !== undefined) throw nameTaken('rule', value.name);
      const rule = await repository.insertRule(writing, value);
      await refuseBrokenTests(services, writing);
      return rule;
    }),
  ),

  implement(accessRoutes.getRule, async ({ services, params }) =>
    found(await repository.findRule(services.store.db, params.ruleId), 'rule'),
  ),

  implement(accessRoutes.updateRule, ({ services, origin, params, body, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const before = found(await repository.findRule(writing.db, params.ruleId), 'rule');
      checkVersion(before.version, ifMatch);
      const faults = new Faults();
      const input = merge(before, body);
      const value = ruleValue(input, await referencesOf(writing, input), '/body', faults);
      faults.check();
      try {
        const rule = await repository.updateRule(writing, before, value);
        await refuseBrokenTests(services, writing);
        return rule;
      } catch (error) {
        throw isUniqueViolation(error) ? nameTaken('rule', value.name) : error;
      }
    }),
  ),

  implement(accessRoutes.deleteRule, ({ services, origin, params, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const rule = found(await repository.findRule(writing.db, params.ruleId), 'rule');
      checkVersion(rule.version, ifMatch);
      await repository.deleteRule(writing, rule);
      await refuseBrokenTests(services, writing);
    }),
  ),
];

function referencesOf({ db }: Writing, { groups, resources, gateways }: RuleInput): Promise<References> {
  return References.of(db, { group: groups, resource: resources, gateway: gateways });
}
