import { suggest } from '@sallyport/core';
import { CLIENT_OPTIONS } from './client-options.ts';
import { ProfileDraft, type OptionContext, type ProfileOption } from './draft.ts';
import { KEY_OPTIONS } from './key-options.ts';
import { lexProfile, MAX_PROFILE_LENGTH, type Directive } from './lex.ts';
import { finishNetwork, NETWORK_OPTIONS } from './network-options.ts';
import { CONNECTION_WITHOUT_EFFECT, IGNORED, REFUSED, WARNED } from './other-options.ts';
import type { ControlWrapping, OpenVpnProfile, ParsedProfile, ProfileRemote, Remark } from './profile.ts';
import { shown } from './values.ts';

/** Past this many faults, a file is no profile at all. */
const MAX_FAULTS = 100;
const MAX_WARNINGS = 100;

/** The files beside a profile that it may name: what they hold, or undefined where one can't be read. */
export interface ProfileFiles {
  read(path: string): string | undefined;
}

/**
 * Parses the text of a client's profile (openvpn(8)). Every fault is named, with its line and what to write instead, and
 * none shows a key.
 */
export function parseProfile(text: string, files?: ProfileFiles): ParsedProfile {
  return new Parser(files).parse(text);
}

class Parser {
  readonly #files: ProfileFiles | undefined;
  readonly #draft = new ProfileDraft();
  readonly #faults: Remark[] = [];
  readonly #warnings: Remark[] = [];

  constructor(files: ProfileFiles | undefined) {
    this.#files = files;
  }

  parse(text: string): ParsedProfile {
    if (text.length > MAX_PROFILE_LENGTH) {
      return { ok: false, faults: [{ line: 1, message: 'this is longer than a profile is; name the .ovpn file' }] };
    }
    this.#takeAll(text, 1, false);
    const profile = this.#finish();
    if (profile !== undefined && this.#faults.length === 0) return { ok: true, profile, warnings: this.#warnings };
    return { ok: false, faults: this.#faults.sort((a, b) => a.line - b.line) };
  }

  #fault(line: number, message: string): void {
    if (this.#faults.length < MAX_FAULTS) this.#faults.push({ line, message });
    else if (this.#faults.length === MAX_FAULTS) {
      this.#faults.push({ line, message: 'too many faults; the rest of the file was not read' });
    }
  }

  #takeAll(text: string, firstLine: number, inConnection: boolean): void {
    const { directives, faults } = lexProfile(text, MAX_FAULTS, firstLine);
    for (const { line, message } of faults) this.#fault(line, message);
    // Known before the options that it is about, wherever it stands.
    for (const { name, args } of directives) {
      if (name === 'ignore-unknown-option') for (const one of args) this.#draft.ignorable.add(one);
    }
    for (const directive of directives) {
      if (this.#faults.length > MAX_FAULTS) return;
      this.#take(directive, inConnection);
    }
  }

  #take(directive: Directive, inConnection: boolean): void {
    const { line, name, args, block } = directive;
    if (name === 'connection' && block !== undefined && !inConnection) {
      const outer = this.#draft.endpoint;
      this.#draft.endpoint = { ...outer };
      const before = this.#draft.remotes.length;
      this.#takeAll(block, line + 1, true);
      if (this.#draft.remotes.length !== before + 1) this.#fault(line, 'a <connection> has one server; write one remote line in it'); // prettier-ignore
      this.#draft.endpoint = outer;
      return;
    }
    if (name === 'setenv' && args[0] === 'opt') {
      const [, inner = '', ...rest] = args;
      if (isKnown(inner)) this.#take({ line, name: inner, args: rest }, inConnection);
      return;
    }
    const fault = (message: string): void => {
      this.#fault(line, `${name}: ${message}`);
    };
    const warn = (message: string): void => {
      if (this.#warnings.length < MAX_WARNINGS) this.#warnings.push({ line, message: `${name}: ${message}` });
    };
    const option = CLIENT_OPTIONS.get(name) ?? KEY_OPTIONS.get(name) ?? networkOption(name);
    if (option === undefined) this.#takeOther(directive, inConnection, fault, warn);
    else if (inConnection && option.perConnection !== true) {
      fault('it holds for the whole profile; move the line out of the <connection> block');
    } else if (block !== undefined && option.block !== true) fault('this is no block; write it on one line');
    else if (block === undefined && (args.length < option.words[0] || args.length > option.words[1])) {
      fault(wordsFault(args.length, option.words));
    } else option.take(this.#draft, args, { line, inConnection, block, fault, warn, content: (of) => this.#content(of, block, fault) }); // prettier-ignore
  }

  #takeOther(
    { name, line, block }: Directive,
    inConnection: boolean,
    fault: (message: string) => void,
    warn: (message: string) => void,
  ): void {
    const refusal = REFUSED.get(name);
    if (refusal !== undefined) fault(refusal);
    else if (IGNORED.has(name)) {
      if (inConnection && !CONNECTION_WITHOUT_EFFECT.has(name)) fault('move the line out of the <connection> block');
    } else if (WARNED.has(name)) warn(WARNED.get(name) ?? '');
    else if (!this.#draft.forwardCompatible && !this.#draft.ignorable.has(name)) {
      const meant = suggest(name, KNOWN);
      const what = block === undefined ? 'option' : 'block';
      const remedy =
        meant === undefined
          ? 'remove it, or write above it: ignore-unknown-option and its name'
          : `did you mean ${meant}?`;
      this.#fault(line, `unknown ${what} ${shown(name)}; ${remedy}`);
    }
  }

  #content(args: readonly string[], block: string | undefined, fault: (message: string) => void): string | undefined {
    if (block !== undefined) return block;
    const [path = ''] = args;
    // The block stands elsewhere in the file.
    if (path === '[inline]') return undefined;
    const text = this.#files?.read(path);
    if (text === undefined)
      fault(`the file ${shown(path)} can't be read; put it beside the profile, or its text into it`);
    else if (text.length > MAX_PROFILE_LENGTH) fault(`the file ${shown(path)} is too long; name another`);
    else return text;
    return undefined;
  }

  /** What only shows once the whole file is known. */
  #finish(): OpenVpnProfile | undefined {
    const draft = this.#draft;
    const missing = (message: string): void => {
      this.#fault(1, message);
    };
    if (!draft.client && !(draft.tlsClient && draft.pulls)) {
      missing('this is no client\'s profile; it has a line "client" (or tls-client and pull)');
    }
    if (draft.remotes.length === 0) missing('no server; write "remote vpn.example.com 1194"');
    if (draft.authority === undefined && draft.peerFingerprints.length === 0) {
      missing("nothing says who the server is; put its authority's certificate into <ca>");
    }
    if ((draft.certificate === undefined) !== (draft.key === undefined)) {
      missing(draft.key === undefined ? 'there is a <cert> without its <key>' : 'there is a <key> without its <cert>');
    } else if (draft.certificate === undefined && draft.login === undefined) {
      missing('nothing says who you are; put <cert> and <key> into it, or write auth-user-pass');
    }
    if (draft.tlsVersionMax === '1.2' && draft.tlsVersionMin === '1.3') {
      missing('tls-version-min is above tls-version-max; take one of them out');
    }
    this.#checkCbc();
    if (draft.staticChallenge !== undefined && draft.login === undefined) draft.login = {};
    if (this.#faults.length > 0) return undefined;
    if (!draft.serverPurpose && draft.verifyName === undefined && draft.peerFingerprints.length === 0) {
      const message =
        "every certificate of the authority, a client's too, passes for the server's; write remote-cert-tls server";
      this.#warnings.push({ line: 1, message });
    }
    return finish(draft);
  }

  /** AES-256-CBC is spoken with HMAC-SHA256 alone. */
  #checkCbc(): void {
    const draft = this.#draft;
    if (draft.auth === 'SHA256') return;
    const { dataCiphers, cipher, fallbackCipher } = draft;
    if (![...(dataCiphers ?? []), cipher, fallbackCipher].includes('AES-256-CBC')) return;
    draft.dataCiphers = dataCiphers?.filter((name) => name !== 'AES-256-CBC');
    if (cipher === 'AES-256-CBC') draft.cipher = undefined;
    if (fallbackCipher === 'AES-256-CBC') draft.fallbackCipher = undefined;
    const message = `AES-256-CBC is spoken with SHA256 alone, and this profile has ${draft.auth}`;
    if (draft.dataCiphers?.length === 0)
      this.#fault(1, `${message}; the server has to take auth SHA256, or AES-256-GCM`);
    else this.#warnings.push({ line: 1, message: `${message}; client and server agree on another cipher` });
  }
}

const KNOWN: readonly string[] = [
  ...CLIENT_OPTIONS.keys(),
  ...KEY_OPTIONS.keys(),
  ...NETWORK_OPTIONS.keys(),
  ...WARNED.keys(),
  ...REFUSED.keys(),
];

function isKnown(name: string): boolean {
  return KNOWN.includes(name) || IGNORED.has(name);
}

/** The options of interface, routes and names, as a profile's. */
function networkOption(name: string): ProfileOption | undefined {
  const option = NETWORK_OPTIONS.get(name);
  if (option === undefined) return undefined;
  const take = (draft: ProfileDraft, args: readonly string[], { fault }: OptionContext): void => {
    const message = option.take(draft.network, args);
    if (message !== undefined) fault(message);
  };
  const perConnection = name === 'tun-mtu' || name === 'mssfix';
  return { words: option.words, take, ...(perConnection ? { perConnection } : {}) };
}

function wordsFault(count: number, [least, most]: readonly [number, number]): string {
  if (most === 0) return 'it stands alone on its line; remove what is behind it';
  return count < least ? 'a word is missing behind it; see openvpn(8)' : 'too many words behind it; see openvpn(8)';
}

function finish(draft: ProfileDraft): OpenVpnProfile {
  const ciphers = draft.dataCiphers ?? ['AES-256-GCM', 'AES-128-GCM', 'CHACHA20-POLY1305'];
  const { every, restart, exit } = draft.ping;
  const { seconds, bytes } = draft.renegotiate;
  return {
    remotes: draft.remotes.map(({ host, port, protocol, defaults }): ProfileRemote => {
      const { transport, family } = protocol ?? defaults;
      return { host, port: port ?? defaults.port, transport, family };
    }),
    remoteRandom: draft.remoteRandom,
    connectTimeout: draft.connectTimeout,
    connectRetry: draft.connectRetry,
    connectRetryMax: draft.connectRetryMax,
    authority: draft.authority,
    peerFingerprints: draft.peerFingerprints,
    certificate: draft.certificate === undefined ? undefined : draft.certificate + draft.extraCertificates,
    key: draft.key,
    verifyName: draft.verifyName,
    serverPurpose: draft.serverPurpose,
    tlsVersionMin: draft.tlsVersionMin,
    tlsVersionMax: draft.tlsVersionMax,
    wrapping: withDirection(draft.wrapping, draft.keyDirection),
    auth: draft.auth,
    dataCiphers: [...new Set([...ciphers, ...(draft.cipher === undefined ? [] : [draft.cipher])])],
    fallbackCipher: draft.fallbackCipher,
    login: draft.login,
    staticChallenge: draft.staticChallenge,
    authRetry: draft.authRetry,
    renegotiate: { seconds, bytes },
    handshakeWindow: draft.handshakeWindow,
    ping: { every, restart, exit },
    peerInfo: draft.peerInfo,
    pushPeerInfo: draft.pushPeerInfo,
    network: finishNetwork(draft.network),
    pull: { filters: draft.filters, noRoutes: draft.noRoutes },
  };
}

function withDirection(wrapping: ControlWrapping, direction: 0 | 1 | undefined): ControlWrapping {
  return wrapping.kind === 'tlsAuth' ? { ...wrapping, direction } : wrapping;
}
