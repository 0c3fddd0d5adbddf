import { once } from 'node:events';
import { openOpenVpnTcpClient, type OpenVpnTcpClient } from '@sallyport/carrier';
import { connectMarkedTcp } from '@sallyport/io';
import {
  pullAction,
  type ClientEnding,
  type ClientEvent,
  type ClientWrap,
  type OpenVpnProfile,
} from '@sallyport/openvpn';
import { remotePath, type OpenVpnConnection, type OpenVpnSide } from '@sallyport/openvpn-plane';
import { CommandFailure, EXIT_BAD_INPUT } from '../command.ts';
import { serverCheck } from './server-check.ts';
import type { Credentials } from './credentials.ts';
import type { Target } from './remotes.ts';

/** Until a server has answered with its keys, where the profile names no time. */
const CONNECT_TIMEOUT_S = 30;
/** What a client has to say goodbye, with room. */
const FAREWELL_MS = 2_000;

export interface AttemptOptions {
  readonly profile: OpenVpnProfile;
  /** PEM, decrypted. */
  readonly key: NonNullable<OpenVpnProfile['key']> | undefined;
  readonly target: Target;
  readonly side: OpenVpnSide;
  /** Where the plane listens on this machine. */
  readonly port: number;
  /** Of the tunnel's own packets. */
  readonly mark: number;
  readonly credentials: Credentials;
  readonly peerInfo: ReadonlyMap<string, string>;
  readonly signal: AbortSignal;
  readonly onEvent: (event: Exclude<ClientEvent, { kind: 'ended' }>) => void;
}

/** Why an attempt ended: as the client says, or before it began. */
export type AttemptEnding = ClientEnding | { readonly kind: 'unreachable'; readonly text: string };

/** Connects to one address; settles when that is over, whether it was ever up or not. */
export async function attempt(options: AttemptOptions): Promise<AttemptEnding> {
  const { profile, target, side, port, mark, signal } = options;
  const timeoutMs = 1000 * (profile.connectTimeout ?? CONNECT_TIMEOUT_S);
  const ended = Promise.withResolvers<AttemptEnding>();
  let relay: OpenVpnTcpClient | undefined;
  let connection: OpenVpnConnection | undefined;
  let lost: string | undefined;
  if (target.transport === 'tcp') {
    const socket = connectMarkedTcp(target.address, target.port, { mark }, timeoutMs);
    try {
      await once(socket, 'connect', { signal });
      relay = openOpenVpnTcpClient({
        socket,
        openvpnPort: port,
        onClose: (reason) => {
          lost = reason;
          connection?.stop();
        },
      });
    } catch (error) {
      socket.on('error', () => undefined).destroy();
      if (signal.aborted) return { kind: 'stopped' };
      return { kind: 'unreachable', text: error instanceof Error ? error.message : String(error) };
    }
  }
  let farewell: NodeJS.Timeout | undefined;
  const stop = (): void => {
    connection?.stop();
    // It says so within a second, unless its interface was removed under it.
    farewell ??= setTimeout(() => {
      ended.resolve({ kind: 'stopped' });
    }, FAREWELL_MS);
  };
  let late = false;
  const timer = setTimeout(() => {
    if (connection?.client.state !== 'negotiating') return;
    late = true;
    stop();
  }, timeoutMs);
  let rejected: string | undefined;
  try {
    connection = connect(side, {
      remote: relay === undefined ? remotePath(target.address, target.port) : remotePath('127.0.0.1', relay.port),
      tcp: relay !== undefined,
      wrap: wrapOf(profile),
      credentials: () => options.credentials.current,
      peerInfo: options.peerInfo,
      acceptPushed: (option) => {
        const action = pullAction(profile, option);
        if (action === 'reject') rejected = option;
        return action === 'accept';
      },
      settings: settingsOf(profile),
      tls: {
        authority: profile.authority,
        certificate: profile.certificate,
        privateKey: options.key,
        minVersion: profile.tlsVersionMin === '1.3' ? 'TLSv1.3' : 'TLSv1.2',
        maxVersion: profile.tlsVersionMax === undefined ? undefined : `TLSv${profile.tlsVersionMax}`,
        check: serverCheck(profile),
      },
      report: (event) => {
        if (event.kind === 'ended') ended.resolve(event.ending);
        else if (rejected === undefined) options.onEvent(event);
        else stop();
      },
    });
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const ending = await ended.promise;
    if (rejected !== undefined) return { kind: 'halt', text: `the profile rejects what it pushes: ${rejected}` };
    if (ending.kind !== 'stopped' || signal.aborted) return ending;
    return late
      ? { kind: 'timeout', phase: 'handshake' }
      : { kind: 'unreachable', text: lost ?? 'the connection ended' };
  } finally {
    clearTimeout(timer);
    clearTimeout(farewell);
    signal.removeEventListener('abort', stop);
    relay?.close();
  }
}

/** What the profile holds is looked at by OpenSSL here, for the first time. */
function connect(side: OpenVpnSide, options: Parameters<OpenVpnSide['connect']>[0]): OpenVpnConnection {
  try {
    return side.connect(options);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    const message = `<ca>, <cert> and <key> of the profile can't be used: ${reason}; ask for a new profile`;
    throw new CommandFailure(EXIT_BAD_INPUT, message, { cause: error });
  }
}

function wrapOf({ wrapping, auth }: OpenVpnProfile): ClientWrap {
  switch (wrapping.kind) {
    case 'none':
      return { kind: 'none' };
    case 'tlsAuth':
      return { kind: 'tls-auth', key: wrapping.key.reveal(), hash: hashOf(auth), direction: wrapping.direction };
    case 'tlsCrypt':
      return { kind: 'tls-crypt', key: wrapping.key.reveal() };
    case 'tlsCryptV2':
      return { kind: 'tls-crypt-v2', key: wrapping.key.reveal(), wrappedKey: wrapping.wrappedKey };
  }
}

function hashOf(auth: OpenVpnProfile['auth']): 'md5' | 'sha1' | 'sha256' | 'sha512' {
  return ({ MD5: 'md5', SHA1: 'sha1', SHA256: 'sha256', SHA512: 'sha512' } as const)[auth];
}

function settingsOf(profile: OpenVpnProfile) {
  const { dataCiphers, fallbackCipher, handshakeWindow, renegotiate, ping, network } = profile;
  const ms = (seconds: number | undefined, name: string): Record<string, number> =>
    seconds === undefined ? {} : { [name]: Math.min(seconds, 0x7fffff) * 1000 };
  return {
    dataCiphers,
    ...(fallbackCipher === undefined ? {} : { fallbackCipher }),
    ...ms(handshakeWindow, 'handWindowMs'),
    ...ms(renegotiate.seconds, 'renegotiateMs'),
    ...(renegotiate.bytes === undefined ? {} : { renegotiateBytes: renegotiate.bytes }),
    ...ms(ping.every, 'pingMs'),
    ...ms(ping.restart ?? ping.exit, 'pingRestartMs'),
    ...(network.tunMtu === undefined ? {} : { tunMtu: network.tunMtu, maxMtu: Math.max(1600, network.tunMtu) }),
  };
}
