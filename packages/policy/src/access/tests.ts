import type { AccessModel, PolicyTestModel } from '../model.ts';
import { answerByRules } from './explain.ts';
import type { AccessAnswer } from './explain.ts';
import { compileRules } from './grants.ts';
import { parseTarget } from './reach.ts';

export interface FailingTest {
  readonly test: PolicyTestModel;
  readonly answer: AccessAnswer;
}

/**
 * The policy tests that the model fails. They are about rules and memberships alone: whether a user is disabled or
 * expired, or a device may connect, doesn't count, so that no test stands in the way of shutting somebody out. A test
 * that is about a user or gateway that isn't there fails if it expects access; one about a name that no resource has
 * fails whatever it expects, for nobody can be asked for it.
 */
export function failingTests(model: AccessModel): readonly FailingTest[] {
  const rules = compileRules(model);
  const failing: FailingTest[] = [];
  for (const test of model.tests.values()) {
    const user = model.users.get(test.userId);
    const answer: AccessAnswer =
      user === undefined
        ? {
            verdict: 'deny',
            reason: 'unknownUser',
            ruleId: null,
            resourceId: null,
            groupId: null,
            standing: null,
            gateways: [],
            text: 'There is no such user.',
          }
        : answerByRules(model, rules, user, parseTarget(model, test), test.gatewayId);
    if (answer.verdict !== test.expect || answer.reason === 'unknownDestination') failing.push({ test, answer });
  }
  return failing;
}
