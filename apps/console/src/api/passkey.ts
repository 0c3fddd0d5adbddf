import type { PasskeyRequest } from '@sallyport/api';
import { startAuthentication, startRegistration } from '@simplewebauthn/browser';
import { t } from '../strings/index.ts';
import { call } from './call.ts';
import { thisClient } from './this-client.ts';

/**
 * Logs in by whichever passkey the user picks. With `suggestion` it is offered among the suggestions for the name, until one
 * is picked or the suggestion is over.
 */
export async function logInWithPasskey(suggestion?: { readonly over: boolean }): Promise<void> {
  const request = await call('beginPasskeyLogin');
  // It would take the place of what the user wants by now.
  if (suggestion?.over === true) throw new DOMException('The suggestion is over', 'AbortError');
  const proof = await signWithPasskey(request, suggestion !== undefined);
  await call('logInWithPasskey', { body: { ...proof, cookie: true, client: thisClient() } });
}

/** Has a passkey sign what the server asks for, as the server takes it. */
export async function signWithPasskey(
  { challenge, options }: PasskeyRequest,
  asSuggestion = false,
): Promise<{ readonly challenge: string; readonly response: Record<string, unknown> }> {
  const response = await inWords(() =>
    startAuthentication({ optionsJSON: options as never, useBrowserAutofill: asSuggestion }),
  );
  return { challenge, response: { ...response } };
}

/** Has the browser make a passkey, and adds it. */
export async function makePasskey(name: string): Promise<void> {
  const { challenge, options } = await call('beginPasskey');
  const response = await inWords(() => startRegistration({ optionsJSON: options as never }));
  await call('addPasskey', { body: { challenge, response: { ...response }, name } });
}

/** Another request took this one's place, or its page is gone: nobody has to hear of it. */
export function isAborted(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}

async function inWords<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (isAborted(error) || !(error instanceof Error)) throw error;
    if (error.name === 'InvalidStateError') throw new Error(t.signIn.passkeyPresent, { cause: error });
    // Browsers give one reason for "not wanted", "too late" and "none there", so as to tell sites nothing.
    if (error.name === 'NotAllowedError') throw new Error(t.signIn.passkeyCancelled, { cause: error });
    throw new Error(t.signIn.passkeyFailed, { cause: error });
  }
}
