import { t } from '../strings/index.ts';
import { fault } from '../ui/toast.tsx';
import { ApiProblem } from './call.ts';

/**
 * Saves what somebody else may have changed meanwhile: then it says so, has the newest state fetched, and answers with
 * undefined. What fails otherwise is thrown.
 */
export async function save<T>(
  work: () => Promise<T>,
  refetch: () => Promise<unknown>,
): Promise<{ saved: T } | undefined> {
  try {
    return { saved: await work() };
  } catch (error) {
    if (!(error instanceof ApiProblem && error.problem.code === 'versionMismatch')) throw error;
    await refetch();
    fault(new Error(t.common.changedMeanwhile));
    return undefined;
  }
}
