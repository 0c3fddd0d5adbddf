import { useRef } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { ApiProblem, call } from '../../api/call.ts';
import { session } from '../../api/session.ts';
import { refreshSession } from '../../api/sign-in.ts';
import { linkToken } from './link-token.ts';
import { thisClient } from '../../api/this-client.ts';

const firstDevice = '/devices?add=1';

/** Chooses a password by a one-time link, then logs in with it and goes on to the first device. */
export function useFirstLogin(): (password: string, choose: () => Promise<string>) => Promise<void> {
  const { route } = useLocation();
  // The link works once: where only the login failed, the next try is that alone.
  const chosen = useRef<string | undefined>(undefined);
  return async (password, choose) => {
    chosen.current ??= await choose();
    try {
      await call('logIn', { body: { name: chosen.current, password, cookie: true, client: thisClient() } });
      await refreshSession();
    } catch (error) {
      // Who chose a new password after losing the old one may have an authenticator app.
      if (!(error instanceof ApiProblem && error.problem.code === 'secondFactorRequired')) throw error;
    }
    route(session.value == null ? `/login?return=${encodeURIComponent(firstDevice)}` : firstDevice, true);
    linkToken.value = '';
  };
}
