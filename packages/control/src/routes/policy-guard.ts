import { failingTests, faultOfGroupSize, type AccessModel, type FailingTest } from '@sallyport/policy';
import { ApiError } from '../http/api-error.ts';
import type { Services } from '../services.ts';
import type { Writing } from '../store/store.ts';

const MAX_NAMED = 100;

/**
 * Refuses a change, made in `writing` but not yet committed, that breaks a policy test: throws the ApiError
 * `policyTestFails`; or `limitReached` for one that no gateway could follow. It is the last step of whatever changes rules,
 * resources, tests, memberships or gateways. Tests that failed before and that the change leaves as they are don't stand in
 * its way.
 */
export async function refuseBrokenTests(services: Services, writing: Writing): Promise<void> {
  const before = services.directory.model;
  const mayReachMore = writing.pending.some(({ kind }) => kind === 'rule' || kind === 'resource');
  const isTested = hasTests(before, writing);
  if (!mayReachMore && !isTested) return;
  const after = await services.directory.preview(writing);
  if (mayReachMore) refuseTooMuch(before, after);
  const broken = isTested ? brokenTests(before, after) : [];
  if (broken.length === 0) return;
  const names = broken.slice(0, 3).map(({ test }) => JSON.stringify(test.name));
  const more = broken.length > 3 ? ` and ${String(broken.length - 3)} more` : '';
  throw new ApiError(
    'policyTestFails',
    `The policy test${broken.length === 1 ? '' : 's'} ${names.join(', ')}${more} would fail. Change or remove the tests if ` +
      'that is what you want.',
    { tests: broken.slice(0, MAX_NAMED).map(describeFailure) },
  );
}

/** Refuses a change of rules or resources after which the packet filters could not hold what a group reaches. */
export function refuseTooMuch(before: AccessModel, after: AccessModel): void {
  const fault = faultOfGroupSize(before, after);
  if (fault !== undefined) throw new ApiError('limitReached', `${fault.charAt(0).toUpperCase()}${fault.slice(1)}.`);
}

/** The tests that a change breaks that was made in `writing` and isn't committed yet. */
export async function testsBrokenBy(services: Services, writing: Writing): Promise<readonly FailingTest[]> {
  const before = services.directory.model;
  return hasTests(before, writing) ? brokenTests(before, await services.directory.preview(writing)) : [];
}

/** Where there is no test, there is nothing to compile the rules for. */
function hasTests(before: AccessModel, writing: Writing): boolean {
  return before.tests.size > 0 || writing.pending.some(({ kind }) => kind === 'policyTest');
}

/** The tests that fail after a change, but for those that failed before and are the same. */
function brokenTests(before: AccessModel, after: AccessModel): readonly FailingTest[] {
  const failing = failingTests(after);
  if (failing.length === 0) return failing;
  const failedBefore = new Set(failingTests(before).map(({ test }) => test));
  return failing.filter(({ test }) => !failedBefore.has(test));
}

export function describeFailure({ test, answer }: FailingTest) {
  return { name: test.name, expected: test.expect, explanation: answer.text };
}
