/** Makes this machine a device of a user: by a code that a person confirms (RFC 8628), or by an API token. */
import { generateKeyPairSync } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { ApiProblem, ApiUnreachable, routes } from '@sallyport/api';
import { DaemonFailure, messageOf } from '../failure.ts';
import type { AccountRecord } from '../state-folder.ts';
import { problemCode, type ControlPlane } from './control-plane.ts';

/** RFC 8628, section 3.5. */
const SLOW_DOWN_MS = 5000;
const MAX_INTERVAL_MS = 60_000;
const NAMES_TRIED = 20;

export interface CodeToConfirm {
  readonly verificationUri: string;
  readonly verificationUriComplete: string;
  readonly userCode: string;
  /** RFC 3339. */
  readonly expiresAt: string;
}

export interface LoginOptions {
  readonly url: string;
  readonly fingerprint: string | null;
  /** An API token; null: a person confirms. */
  readonly token: string | null;
  readonly deviceName: string | null;
  readonly control: ControlPlane;
  readonly onCode: (code: CodeToConfirm) => void;
  readonly signal: AbortSignal;
}

/** Throws a DaemonFailure that says what to do. */
export async function logIn(options: LoginOptions): Promise<AccountRecord> {
  const { url, fingerprint, control } = options;
  try {
    const token = options.token ?? (await askPerson(options));
    const known = control.withToken(token);
    const keys = makeKeyPair();
    const device = await addDevice(known, keys.publicKey, options.deviceName ?? defaultName());
    return {
      url,
      fingerprint,
      token,
      tokenKind: options.token === null ? 'session' : 'api',
      userName: device.userName,
      deviceId: device.id,
      deviceName: device.name,
      ipv4: device.ipv4,
      ipv6: device.ipv6,
      ...keys,
      controlAddresses: [...known.addresses],
    };
  } catch (error) {
    throw failureOf(error);
  }
}

/** Takes the device away at the control plane and ends the session; what can't be done there is returned in words. */
export async function logOut(account: AccountRecord, control: ControlPlane): Promise<string | undefined> {
  const params = { deviceId: account.deviceId };
  try {
    const { version } = await control.call(routes.getMyDevice, { params });
    await control.call(routes.removeMyDevice, { params, ifMatch: version });
  } catch (error) {
    // Removed already, or the login ended: then it is done, or can be done by others alone.
    if (problemCode(error) !== 'notFound')
      return `the device ${account.deviceName} may still be known there; remove it in the console: ${messageOf(error)}`;
  }
  if (account.tokenKind === 'session') await control.call(routes.logOut, {}).catch(() => undefined);
  return undefined;
}

async function askPerson({ control, onCode, signal }: LoginOptions): Promise<string> {
  const started = await control.call(routes.startDeviceAuthorization, {
    body: { client: `Sallyport on ${defaultName()}`.slice(0, 100) },
  });
  const { deviceCode, expiresInSeconds, verificationUri, verificationUriComplete, userCode } = started;
  const end = Date.now() + expiresInSeconds * 1000;
  onCode({ verificationUri, verificationUriComplete, userCode, expiresAt: new Date(end).toISOString() });
  let intervalMs = Math.min(Math.max(started.intervalSeconds * 1000, 1000), MAX_INTERVAL_MS);
  while (Date.now() < end) {
    await delay(intervalMs, undefined, { signal });
    try {
      const answer = await control.call(routes.redeemDeviceAuthorization, { body: { deviceCode } });
      if (answer.state === 'approved') return answer.token;
      if (answer.state === 'denied') throw new DaemonFailure('notPermitted', 'the login was denied in the browser');
      if (answer.state === 'expired') break;
      if (answer.state === 'slowDown') intervalMs = Math.min(intervalMs + SLOW_DOWN_MS, MAX_INTERVAL_MS);
    } catch (error) {
      // A network that comes and goes doesn't end it, nor does a limit: section 3.5 asks for patience.
      const limited = problemCode(error) === 'tooManyRequests';
      if (!(error instanceof ApiUnreachable) && !limited) throw error;
      intervalMs = Math.min(intervalMs * 2, MAX_INTERVAL_MS);
    }
  }
  throw new DaemonFailure('refused', 'nobody confirmed the code in time; log in again');
}

async function addDevice(
  control: ControlPlane,
  publicKey: string,
  wanted: string,
): Promise<{ id: string; name: string; userName: string; ipv4: string; ipv6: string }> {
  for (let number = 1; ; number++) {
    const name = number === 1 ? wanted : `${wanted.slice(0, 55)}-${String(number)}`;
    try {
      return await control.call(routes.addMyDevice, { body: { name, publicKey } });
    } catch (error) {
      if (problemCode(error) !== 'nameTaken' || number === NAMES_TRIED) throw error;
    }
  }
}

function defaultName(): string {
  return hostname().slice(0, 60) || 'linux';
}

/** X25519, as WireGuard has it; base64. */
function makeKeyPair(): { privateKey: string; publicKey: string } {
  const { privateKey, publicKey } = generateKeyPairSync('x25519');
  const text = (value: string | undefined): string => Buffer.from(value ?? '', 'base64url').toString('base64');
  return {
    privateKey: text(privateKey.export({ format: 'jwk' }).d),
    publicKey: text(publicKey.export({ format: 'jwk' }).x),
  };
}

function failureOf(error: unknown): Error {
  if (error instanceof DaemonFailure) return error;
  if (error instanceof ApiUnreachable) return new DaemonFailure('unreachable', error.message, { cause: error });
  if (error instanceof ApiProblem) {
    const { code, detail, title } = error.problem;
    const denied = ['loginRequired', 'loginFailed', 'forbidden', 'enrolmentRequired', 'secondFactorRequired'].includes(
      code,
    );
    return new DaemonFailure(denied ? 'notPermitted' : 'refused', detail === '' ? title : detail, { cause: error });
  }
  if (error instanceof Error && error.name === 'AbortError')
    return new DaemonFailure('failed', 'the login was given up');
  return error instanceof Error ? error : new Error(String(error));
}
