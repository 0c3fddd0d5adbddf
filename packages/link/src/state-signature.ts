import { createPublicKey, sign, verify, type KeyObject } from 'node:crypto';
import { decodeMessage } from './connection.ts';
import { signedState, type SignedState } from './signed-state.ts';

/** Signed in front of every payload, so that no signature made for another purpose passes for one of a state. */
const CONTEXT = Buffer.from('sallyport gateway state 1\0', 'latin1');

export interface StateMessage {
  readonly kind: 'state';
  /** JSON text of a {@link SignedState}. */
  readonly payload: string;
  /** Ed25519 (RFC 8032) over context and payload, base64. */
  readonly signature: string;
}

export type VerifiedState =
  { readonly ok: true; readonly state: SignedState } | { readonly ok: false; readonly fault: string };

/** Signs a state with the control plane's Ed25519 private key. */
export function signState(state: SignedState, key: KeyObject): StateMessage {
  const payload = JSON.stringify(state);
  return { kind: 'state', payload, signature: sign(null, signedBytes(payload), key).toString('base64') };
}

/** A state, where the control plane signed it, for this gateway. Versions are for the caller to compare. */
export function verifyState(
  message: { readonly payload: string; readonly signature: string },
  key: KeyObject,
  gatewayId: string,
): VerifiedState {
  const signature = Buffer.from(message.signature, 'base64');
  if (!verify(null, signedBytes(message.payload), key, signature))
    return { ok: false, fault: "the state's signature is not the control plane's" };
  let state: SignedState;
  try {
    state = decodeMessage(Buffer.from(message.payload, 'utf8'), signedState);
  } catch (error) {
    return { ok: false, fault: `the state can't be read: ${(error as Error).message}` };
  }
  if (state.gatewayId !== gatewayId) return { ok: false, fault: 'the state is for another gateway' };
  if (state.base >= state.version) return { ok: false, fault: 'the state leads back' };
  if (state.base === 0 && state.change.gateway === undefined)
    return { ok: false, fault: 'the snapshot does not describe the gateway' };
  return { ok: true, state };
}

/** An Ed25519 public key as `welcome` carries it: SPKI, base64. */
export function encodeStateKey(key: KeyObject): string {
  const spki = key.type === 'private' ? createPublicKey(key) : key;
  return spki.export({ type: 'spki', format: 'der' }).toString('base64');
}

/** The key, or undefined where the text is none of Ed25519. */
export function decodeStateKey(text: string): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(text, 'base64'), format: 'der', type: 'spki' });
    return key.asymmetricKeyType === 'ed25519' ? key : undefined;
  } catch {
    return undefined;
  }
}

function signedBytes(payload: string): Buffer {
  return Buffer.concat([CONTEXT, Buffer.from(payload, 'utf8')]);
}
