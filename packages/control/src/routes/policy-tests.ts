import { accessRoutes } from '@sallyport/api';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { checkVersion } from '../http/version.ts';
import * as repository from '../repositories/policy-tests.ts';
import { References } from '../repositories/references.ts';
import { allResources } from '../repositories/resources.ts';
import { isUniqueViolation } from '../store/database-errors.ts';
import type { Writing } from '../store/store.ts';
import { found, nameTaken } from './answers.ts';
import { Faults } from './faults.ts';
import { merge } from './merge.ts';
import { refuseBrokenTests } from './policy-guard.ts';
import { policyTestValue, type PolicyTestInput } from './policy-values.ts';

async function checkedValue(writing: Writing, input: PolicyTestInput): Promise<repository.PolicyTestValue> {
  const faults = new Faults();
  const { user, gateway } = input;
  const references = await References.of(writing.db, { user: [user], gateway: gateway === null ? [] : [gateway] });
  const value = policyTestValue(input, references, await allResources(writing.db), '/body', faults);
  faults.check();
  return value;
}

export const policyTestRoutes: readonly RouteImplementation[] = [
  implement(accessRoutes.listPolicyTests, ({ services, query }) =>
    repository.listPolicyTests(services.store.db, query),
  ),

  implement(accessRoutes.createPolicyTest, ({ services, origin, body }) =>
    services.store.write(origin, async (writing) => {
      const input = { ...body, port: body.port ?? null, gateway: body.gateway ?? null };
      const value = await checkedValue(writing, input);
      if ((await repository.findPolicyTest(writing.db, value.name)) !== undefined) {
        throw nameTaken('policy test', value.name);
      }
      const test = await repository.insertPolicyTest(writing, value);
      await refuseBrokenTests(services, writing);
      return test;
    }),
  ),

  implement(accessRoutes.getPolicyTest, async ({ services, params }) =>
    found(await repository.findPolicyTest(services.store.db, params.policyTestId), 'policy test'),
  ),

  implement(accessRoutes.updatePolicyTest, ({ services, origin, params, body, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const before = found(await repository.findPolicyTest(writing.db, params.policyTestId), 'policy test');
      checkVersion(before.version, ifMatch);
      const { userId: user, gatewayId: gateway, ...rest } = before;
      const value = await checkedValue(writing, merge({ user, gateway, ...rest }, body));
      try {
        const test = await repository.updatePolicyTest(writing, before, value);
        await refuseBrokenTests(services, writing);
        return test;
      } catch (error) {
        throw isUniqueViolation(error) ? nameTaken('policy test', value.name) : error;
      }
    }),
  ),

  implement(accessRoutes.deletePolicyTest, ({ services, origin, params, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const test = found(await repository.findPolicyTest(writing.db, params.policyTestId), 'policy test');
      checkVersion(test.version, ifMatch);
      await repository.deletePolicyTest(writing, test);
    }),
  ),
];
