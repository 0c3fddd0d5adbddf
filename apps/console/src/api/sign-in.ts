/** Begins and ends the session. */
import { endSession, session } from './session.ts';
import { ApiProblem, call } from './call.ts';

/** Asks who is logged in. Leaves it as it was where no answer comes. */
export async function refreshSession(): Promise<void> {
  try {
    session.value = await call('getMe');
  } catch (error) {
    if (error instanceof ApiProblem && error.problem.status === 401) session.value = null;
    else if (session.value === undefined) throw error;
  }
}

export async function logOut(): Promise<void> {
  await call('logOut');
  // Nothing of this user stays in the page, which browsers keep for the Back button as it is.
  endSession();
  location.assign('/login');
}
