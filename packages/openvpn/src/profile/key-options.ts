/** Options that hold keys, certificates and logins. What is wrong with one never quotes it. */
import { Secret } from '@sallyport/core';
import { parseStaticKey, parseTlsCryptV2ClientKey } from '../wire/key-file.ts';
import type { OptionContext, ProfileDraft, ProfileOption } from './draft.ts';
import type { ControlWrapping } from './profile.ts';
import { pemBlocks, shown } from './values.ts';

const MAX_CERTIFICATES = 256;
const MAX_FINGERPRINTS = 64;
const MAX_LOGIN_LENGTH = 4096;
const SERVER_PURPOSES: ReadonlySet<string> = new Set([
  'TLS Web Server Authentication',
  'serverAuth',
  '1.3.6.1.5.5.7.3.1',
]);

export const KEY_OPTIONS: ReadonlyMap<string, ProfileOption> = new Map<string, ProfileOption>([
  ['ca', { words: [1, 1], block: true, take: takeAuthority }],
  ['cert', { words: [1, 1], block: true, take: takeCertificate }],
  ['extra-certs', { words: [1, 1], block: true, take: takeExtraCertificates }],
  ['key', { words: [1, 1], block: true, take: takeKey }],
  ['peer-fingerprint', { words: [1, 1], block: true, take: takeFingerprints }],
  ['verify-x509-name', { words: [1, 2], take: takeVerifyName }],
  ['remote-cert-tls', { words: [1, 1], take: takeRemoteCertTls }],
  ['remote-cert-eku', { words: [1, 1], take: takeRemoteCertEku }],
  ['tls-version-min', { words: [1, 2], take: takeVersionMin }],
  ['tls-version-max', { words: [1, 1], take: takeVersionMax }],
  ['key-direction', { words: [1, 1], perConnection: true, take: takeKeyDirection }],
  ['tls-auth', { words: [1, 2], block: true, perConnection: true, take: takeTlsAuth }],
  ['tls-crypt', { words: [1, 1], block: true, perConnection: true, take: takeTlsCrypt }],
  ['tls-crypt-v2', { words: [1, 1], block: true, perConnection: true, take: takeTlsCryptV2 }],
  ['auth-user-pass', { words: [0, 1], block: true, take: takeLogin }],
  ['auth-retry', { words: [1, 1], take: takeAuthRetry }],
  ['static-challenge', { words: [2, 3], take: takeStaticChallenge }],
]);

function takeAuthority(draft: ProfileDraft, args: readonly string[], context: OptionContext): void {
  draft.authority = certificatesOf(args, context) ?? draft.authority;
}

function takeCertificate(draft: ProfileDraft, args: readonly string[], context: OptionContext): void {
  draft.certificate = certificatesOf(args, context) ?? draft.certificate;
}

function takeExtraCertificates(draft: ProfileDraft, args: readonly string[], context: OptionContext): void {
  draft.extraCertificates = certificatesOf(args, context) ?? '';
}

function certificatesOf(args: readonly string[], context: OptionContext): string | undefined {
  const text = context.content(args);
  if (text === undefined) return undefined;
  const blocks = pemBlocks(text, /^(?:X509 |TRUSTED )?CERTIFICATE$/);
  if (blocks.length > 0 && blocks.length <= MAX_CERTIFICATES) return blocks.join('');
  context.fault(
    blocks.length === 0
      ? 'there is no certificate in it; it begins with -----BEGIN CERTIFICATE-----'
      : `more than ${String(MAX_CERTIFICATES)} certificates; leave some out`,
  );
  return undefined;
}

function takeKey(draft: ProfileDraft, args: readonly string[], context: OptionContext): void {
  const text = context.content(args);
  if (text === undefined) return;
  const [key, ...more] = pemBlocks(text, /PRIVATE KEY$/);
  if (key === undefined || more.length > 0) {
    context.fault('it has to hold one private key; that begins with -----BEGIN PRIVATE KEY-----');
  } else draft.key = new Secret(key);
}

function takeFingerprints(draft: ProfileDraft, args: readonly string[], { block, fault }: OptionContext): void {
  for (const line of (block ?? args[0] ?? '').split('\n')) {
    const text = line.trim();
    if (text === '' || text.startsWith('#') || text.startsWith(';')) continue;
    const hex = text.replaceAll(':', '').toLowerCase();
    if (!/^[0-9a-f]{64}$/.test(hex)) {
      fault("not a fingerprint; write the SHA-256 of the server's certificate: 64 hexadecimal digits, pairs by colons");
      return;
    }
    if (draft.peerFingerprints.length >= MAX_FINGERPRINTS) {
      fault(`more than ${String(MAX_FINGERPRINTS)} fingerprints; leave some out`);
      return;
    }
    draft.peerFingerprints.push(hex);
  }
}

function takeVerifyName(
  draft: ProfileDraft,
  [name = '', kind = 'subject']: readonly string[],
  { fault }: OptionContext,
): void {
  if (kind !== 'subject' && kind !== 'name' && kind !== 'name-prefix') {
    fault(`${shown(kind)} is none of its kinds; write subject, name or name-prefix`);
  } else if (name === '') fault("no name; write the one in the server's certificate");
  else draft.verifyName = { kind, name };
}

function takeRemoteCertTls(draft: ProfileDraft, [of]: readonly string[], { fault }: OptionContext): void {
  if (of === 'server') draft.serverPurpose = true;
  else fault("a client asks for a server's certificate; write remote-cert-tls server");
}

function takeRemoteCertEku(draft: ProfileDraft, [purpose = '']: readonly string[], { fault }: OptionContext): void {
  if (SERVER_PURPOSES.has(purpose)) draft.serverPurpose = true;
  else fault("other purposes than a server's are not looked at; write remote-cert-tls server");
}

function takeVersionMin(
  draft: ProfileDraft,
  [version = '', orHighest]: readonly string[],
  { fault }: OptionContext,
): void {
  if (!/^1\.[0-3]$/.test(version) || (orHighest !== undefined && orHighest !== 'or-highest')) {
    fault('write 1.2 or 1.3');
  } else draft.tlsVersionMin = version === '1.3' ? '1.3' : '1.2';
}

function takeVersionMax(draft: ProfileDraft, [version = '']: readonly string[], { fault }: OptionContext): void {
  if (version === '1.2' || version === '1.3') draft.tlsVersionMax = version;
  else fault('older ones than TLS 1.2 are not spoken; write 1.2 or 1.3, or remove the line');
}

function takeKeyDirection(draft: ProfileDraft, [text]: readonly string[], { fault }: OptionContext): void {
  if (text === '0' || text === '1') draft.keyDirection = text === '1' ? 1 : 0;
  else fault("write 0 or 1; a client's is mostly 1");
}

function takeTlsAuth(draft: ProfileDraft, args: readonly string[], context: OptionContext): void {
  const direction = args[1];
  if (direction !== undefined) takeKeyDirection(draft, [direction], context);
  const key = staticKeyOf(args, context);
  // Its direction is known once the file has been read.
  if (key !== undefined) setWrapping(draft, { kind: 'tlsAuth', key, direction: undefined }, context);
}

function takeTlsCrypt(draft: ProfileDraft, args: readonly string[], context: OptionContext): void {
  const key = staticKeyOf(args, context);
  if (key !== undefined) setWrapping(draft, { kind: 'tlsCrypt', key }, context);
}

function takeTlsCryptV2(draft: ProfileDraft, args: readonly string[], context: OptionContext): void {
  const text = context.content(args);
  if (text === undefined) return;
  const parsed = parseTlsCryptV2ClientKey(text);
  if (parsed === undefined) {
    context.fault("not a client's key of tls-crypt-v2; it begins with -----BEGIN OpenVPN tls-crypt-v2 client key-----");
    return;
  }
  const { key, wrappedKey } = parsed;
  setWrapping(draft, { kind: 'tlsCryptV2', key: new Secret(key), wrappedKey }, context);
}

function staticKeyOf(args: readonly string[], context: OptionContext): Secret<Uint8Array> | undefined {
  const text = context.content(args);
  if (text === undefined) return undefined;
  const key = parseStaticKey(text);
  if (key !== undefined) return new Secret(key);
  context.fault('not a static key of 2048 bits; it begins with -----BEGIN OpenVPN Static key V1-----');
  return undefined;
}

function setWrapping(draft: ProfileDraft, wrapping: ControlWrapping, context: OptionContext): void {
  if (draft.wrapping.kind !== 'none' && draft.wrapping.kind !== wrapping.kind) {
    context.fault(`line ${String(draft.wrappingLine)} protects the control channel already; remove one of the two`);
    return;
  }
  if (context.inConnection) {
    context.warn('this key is used for every server of the profile, not only for the one of this block');
  }
  draft.wrapping = wrapping;
  draft.wrappingLine = context.line;
}

function takeLogin(draft: ProfileDraft, args: readonly string[], context: OptionContext): void {
  draft.login = {};
  if (context.block === undefined && args.length === 0) return;
  const [userName = '', password = ''] = (context.content(args) ?? '')
    .split('\n')
    .map((line) => line.replace(/\r$/, ''));
  if (userName.length > MAX_LOGIN_LENGTH || password.length > MAX_LOGIN_LENGTH) {
    context.fault('user name or password is too long; they stand on the first two lines');
  } else if (userName !== '') {
    draft.login = { userName, ...(password === '' ? {} : { password: new Secret(password) }) };
  }
}

function takeAuthRetry(draft: ProfileDraft, [how = '']: readonly string[], { fault }: OptionContext): void {
  if (how === 'none' || how === 'nointeract' || how === 'interact') draft.authRetry = how;
  else fault('write none, nointeract or interact');
}

function takeStaticChallenge(
  draft: ProfileDraft,
  [text = '', echo = '', how = 'scrv1']: readonly string[],
  { fault }: OptionContext,
): void {
  if ((echo !== '0' && echo !== '1') || (how !== 'scrv1' && how !== 'concat')) {
    fault('write the question in quotes, and 1 behind it where the answer may be seen, otherwise 0');
  } else draft.staticChallenge = { text, echo: echo === '1', concatenate: how === 'concat' };
}
