/** Options that our client obeys: which server, and how to talk to it. Keys and logins are in key-options.ts. */
import type { DataCipher } from '../data/data-sessions.ts';
import type { OptionContext, ProfileDraft, ProfileOption, Protocol } from './draft.ts';
import type { ControlHash } from './profile.ts';
import { isAddress, isHostName, parseNumber, shown } from './values.ts';

/** As many as OpenVPN takes. */
const MAX_REMOTES = 64;
const MAX_FILTERS = 256;
const MAX_PEER_INFO = 32;
const MAX_SECONDS = 0x7fff_ffff;

const PROTOCOLS: ReadonlyMap<string, Protocol> = new Map(
  [
    ['udp', 'udp'],
    ['tcp', 'tcp'],
    ['tcp-client', 'tcp'],
  ].flatMap(([name = '', transport]) =>
    ([undefined, 4, 6] as const).map((family): [string, Protocol] => [
      name.replace(/^(?:udp|tcp)/, (base) => base + String(family ?? '')),
      { transport: transport === 'tcp' ? 'tcp' : 'udp', family },
    ]),
  ),
);

const CIPHERS: ReadonlyMap<string, DataCipher> = new Map(
  (['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305', 'AES-256-CBC'] as const).map((name) => [name, name]),
);
const HASHES: ReadonlyMap<string, ControlHash> = new Map<string, ControlHash>([
  ['MD5', 'MD5'],
  ['SHA1', 'SHA1'],
  ['RSA-SHA1', 'SHA1'],
  ['SHA256', 'SHA256'],
  ['SHA512', 'SHA512'],
]);

export const CLIENT_OPTIONS: ReadonlyMap<string, ProfileOption> = new Map<string, ProfileOption>([
  ['client', { words: [0, 0], take: (draft) => void (draft.client = true) }],
  ['tls-client', { words: [0, 0], take: (draft) => void (draft.tlsClient = true) }],
  ['pull', { words: [0, 0], take: (draft) => void (draft.pulls = true) }],
  ['mode', { words: [1, 1], take: takeMode }],
  ['remote', { words: [1, 3], perConnection: true, take: takeRemote }],
  ['proto', { words: [1, 1], perConnection: true, take: takeProto }],
  ['port', { words: [1, 1], perConnection: true, take: takePort }],
  ['rport', { words: [1, 1], perConnection: true, take: takePort }],
  ['remote-random', { words: [0, 0], take: (draft) => void (draft.remoteRandom = true) }],
  ['dev', { words: [1, 1], take: takeDev }],
  ['dev-type', { words: [1, 1], take: takeDev }],
  ['cipher', { words: [1, 1], take: takeCipher }],
  ['data-ciphers', { words: [1, 1], take: takeDataCiphers }],
  ['ncp-ciphers', { words: [1, 1], take: takeDataCiphers }],
  ['data-ciphers-fallback', { words: [1, 1], take: takeFallback }],
  ['auth', { words: [1, 1], take: takeAuth }],
  ['connect-timeout', seconds(1, (draft, value) => void (draft.connectTimeout = value))],
  ['server-poll-timeout', seconds(1, (draft, value) => void (draft.connectTimeout = value))],
  ['connect-retry', { words: [1, 2], take: takeConnectRetry }],
  ['connect-retry-max', number(1, MAX_SECONDS, (draft, value) => void (draft.connectRetryMax = value))],
  ['reneg-sec', { words: [1, 2], take: seconds(0, (draft, value) => void (draft.renegotiate.seconds = value)).take }],
  ['reneg-bytes', number(0, Number.MAX_SAFE_INTEGER, (draft, value) => void (draft.renegotiate.bytes = value))],
  ['hand-window', seconds(1, (draft, value) => void (draft.handshakeWindow = value))],
  ['ping', seconds(0, (draft, value) => void (draft.ping.every = value))],
  ['ping-restart', seconds(0, (draft, value) => void (draft.ping.restart = value))],
  ['ping-exit', seconds(0, (draft, value) => void (draft.ping.exit = value))],
  ['keepalive', { words: [2, 2], take: takeKeepalive }],
  ['fragment', { words: [1, 2], perConnection: true, take: takeFragment }],
  ['tun-mtu-extra', { words: [1, 1], perConnection: true, take: takeMtuExtra }],
  ['allow-compression', { words: [1, 1], take: takeAllowCompression }],
  ['pull-filter', { words: [2, 2], take: takePullFilter }],
  ['route-nopull', { words: [0, 0], take: (draft) => void (draft.noRoutes = true) }],
  ['ignore-unknown-option', { words: [1, 32], take: takeIgnorable }],
  ['push-peer-info', { words: [0, 0], take: (draft) => void (draft.pushPeerInfo = true) }],
  ['setenv', { words: [1, 2], take: takeSetenv }],
  ['setenv-safe', { words: [1, 2], take: () => undefined }],
  ['script-security', { words: [1, 2], take: takeScriptSecurity }],
]);

type Assign = (draft: ProfileDraft, value: number) => void;

function seconds(least: number, assign: Assign): ProfileOption {
  return number(least, MAX_SECONDS, assign, ' of seconds');
}

function number(least: number, most: number, assign: Assign, unit = ''): ProfileOption {
  return {
    words: [1, 1],
    take: (draft, [text], { fault }) => {
      const value = parseNumber(text, least, most);
      if (value === undefined) fault(`write a number${unit}, ${String(least)} or more`);
      else assign(draft, value);
    },
  };
}

function takeMode(_draft: ProfileDraft, [mode]: readonly string[], { fault }: OptionContext): void {
  if (mode !== 'p2p') fault("this is a server's configuration; take the profile that the server gave out for clients");
}

function takeRemote(
  draft: ProfileDraft,
  [host = '', portText, protoText]: readonly string[],
  { fault, line }: OptionContext,
): void {
  if (!isAddress(host) && !isHostName(host)) {
    fault(`${shown(host)} is neither a name nor an address; write vpn.example.com or 192.0.2.1`);
    return;
  }
  const port = portText === undefined ? undefined : parseNumber(portText, 1, 65_535);
  if (portText !== undefined && port === undefined) {
    fault(`${shown(portText)} is not a port; write a number from 1 to 65535`);
    return;
  }
  const protocol = protoText === undefined ? undefined : PROTOCOLS.get(protoText);
  if (protoText !== undefined && protocol === undefined) fault(unknownProtocol(protoText));
  else if (draft.remotes.length >= MAX_REMOTES) fault(`more than ${String(MAX_REMOTES)} servers; leave some out`);
  else draft.remotes.push({ line, host, port, protocol, defaults: draft.endpoint });
}

function takeProto(draft: ProfileDraft, [text = '']: readonly string[], { fault }: OptionContext): void {
  const protocol = PROTOCOLS.get(text);
  if (protocol === undefined) fault(unknownProtocol(text));
  else Object.assign(draft.endpoint, protocol);
}

function unknownProtocol(text: string): string {
  return /^tcp[46]?-server$/.test(text)
    ? `${text} is a server's; write ${text.replace('-server', '')}`
    : `${shown(text)} is not a protocol; write udp, tcp, or one of them with 4 or 6 behind it`;
}

function takePort(draft: ProfileDraft, [text]: readonly string[], { fault }: OptionContext): void {
  const port = parseNumber(text, 1, 65_535);
  if (port === undefined) fault('not a port; write a number from 1 to 65535');
  else draft.endpoint.port = port;
}

function takeDev(_draft: ProfileDraft, [name = '']: readonly string[], { fault }: OptionContext): void {
  const kind = /^(tun|tap)/.exec(name)?.[1];
  if (kind === 'tap') {
    fault(
      'it is an Ethernet (tap) that the server offers, and only IP (tun) is spoken; ask its operator for "dev tun"',
    );
  } else if (name === 'null') fault('without an interface nothing can pass; write "dev tun"');
  else if (!/^[A-Za-z][A-Za-z0-9_.-]{0,14}$/.test(name)) {
    fault(`${shown(name)} can't be an interface's name; write tun, or at most 15 letters, digits, "_", "." and "-"`);
  }
  // The interface is named after the file.
}

function takeCipher(draft: ProfileDraft, [name = '']: readonly string[], { fault, warn }: OptionContext): void {
  const cipher = CIPHERS.get(name.toUpperCase());
  if (cipher !== undefined) draft.cipher = cipher;
  else if (name.toLowerCase() === 'none') fault('without a cipher all would be in the clear; remove the line');
  else warn(`${shown(name)} is not spoken here; client and server agree on another one`);
}

function takeDataCiphers(draft: ProfileDraft, [list = '']: readonly string[], { fault, warn }: OptionContext): void {
  const known: DataCipher[] = [];
  const others: string[] = [];
  for (const entry of list.split(':').slice(0, 64)) {
    const name = entry.replace(/^\?/, '').toUpperCase();
    if (name === 'DEFAULT') known.push('AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305');
    else {
      const cipher = CIPHERS.get(name);
      if (cipher !== undefined) known.push(cipher);
      else others.push(shown(entry));
    }
  }
  draft.dataCiphers = [...new Set(known)];
  if (known.length === 0) fault(`none of them is spoken here; write some of ${[...CIPHERS.keys()].join(':')}`);
  else if (others.length > 0) warn(`not spoken here and left out: ${others.join(', ')}`);
}

function takeFallback(draft: ProfileDraft, [name = '']: readonly string[], { warn }: OptionContext): void {
  draft.fallbackCipher = CIPHERS.get(name.toUpperCase());
  if (draft.fallbackCipher === undefined)
    warn(`${shown(name)} is not spoken here: the server has to negotiate another`);
}

function takeAuth(draft: ProfileDraft, [name = '']: readonly string[], { fault }: OptionContext): void {
  const hash = HASHES.get(name.toUpperCase().replace('SHA-', 'SHA'));
  if (hash === undefined) fault(`${shown(name)} is not spoken; the server would have to use SHA1, SHA256 or SHA512`);
  else draft.auth = hash;
}

function takeConnectRetry(
  draft: ProfileDraft,
  [firstText, lastText]: readonly string[],
  { fault }: OptionContext,
): void {
  const first = parseNumber(firstText, 1, 65_535);
  const last = lastText === undefined ? 300 : parseNumber(lastText, 1, 65_535);
  if (first === undefined || last === undefined) fault('write one or two numbers of seconds, from 1 on');
  else draft.connectRetry = { first, last: Math.max(first, last) };
}

function takeKeepalive(
  draft: ProfileDraft,
  [everyText, restartText]: readonly string[],
  { fault }: OptionContext,
): void {
  const every = parseNumber(everyText, 1, MAX_SECONDS);
  const restart = parseNumber(restartText, 1, MAX_SECONDS);
  if (every === undefined || restart === undefined || restart < 2 * every) {
    fault('write two numbers of seconds, the second at least twice the first: keepalive 10 60');
  } else Object.assign(draft.ping, { every, restart });
}

function takeFragment(_draft: ProfileDraft, [size]: readonly string[], { fault }: OptionContext): void {
  if (size !== '0')
    fault("OpenVPN's own fragments are not spoken; take the line out here and at the server, mssfix does for TCP");
}

function takeMtuExtra(_draft: ProfileDraft, [size]: readonly string[], { fault }: OptionContext): void {
  if (size !== '0') fault('this is for Ethernet (tap), which is not spoken; remove the line');
}

function takeAllowCompression(
  _draft: ProfileDraft,
  [how = '']: readonly string[],
  { fault, warn }: OptionContext,
): void {
  if (how === 'no') return;
  if (how === 'asym' || how === 'yes') warn('nothing is compressed here, in either direction');
  else fault('write no, or remove the line: nothing is compressed here');
}

function takePullFilter(
  draft: ProfileDraft,
  [action = '', prefix = '']: readonly string[],
  { fault }: OptionContext,
): void {
  if (action !== 'accept' && action !== 'ignore' && action !== 'reject') {
    fault(`${shown(action)} is none of its words; write accept, ignore or reject, and the beginning of the option`);
  } else if (draft.filters.length >= MAX_FILTERS) fault(`more than ${String(MAX_FILTERS)} filters; leave some out`);
  else draft.filters.push({ action, prefix });
}

function takeIgnorable(draft: ProfileDraft, names: readonly string[]): void {
  for (const name of names) draft.ignorable.add(name);
}

function takeSetenv(draft: ProfileDraft, [name = '', value = '']: readonly string[], { fault }: OptionContext): void {
  if (name === 'FORWARD_COMPATIBLE') draft.forwardCompatible = value === '1';
  else if (/^UV_[A-Za-z0-9_]{1,60}$/.test(name)) {
    if (draft.peerInfo.size >= MAX_PEER_INFO) fault(`more than ${String(MAX_PEER_INFO)} of them; leave some out`);
    else if (!/^[\x20-\x7e]{0,256}$/.test(value)) fault('write at most 256 printable characters');
    else draft.peerInfo.set(name, value);
  }
  // Others are for scripts, which there are none of.
}

function takeScriptSecurity(_draft: ProfileDraft, [level = '']: readonly string[], { fault }: OptionContext): void {
  if (level === '0' || level === '1') return;
  fault('scripts of a profile are not run; remove the line (name servers and routes are set without a script)');
}
