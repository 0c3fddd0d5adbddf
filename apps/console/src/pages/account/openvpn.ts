/** Both as OpenVPN profiles and the API take them. */
export interface ProfileKeys {
  /** PKCS #8, PEM. */
  readonly privateKey: string;
  /** SPKI, base64. */
  readonly publicKey: string;
}

/**
 * Makes a key pair for a certificate by WebCrypto: ECDSA on P-256, which every client takes. Undefined in pages that came
 * without TLS.
 */
export async function makeProfileKeys(): Promise<ProfileKeys | undefined> {
  // Without TLS there is no `subtle`, whatever the types say.
  const subtle = crypto.subtle as typeof crypto.subtle | undefined;
  if (subtle === undefined) return undefined;
  const pair = await subtle.generateKey({ name: 'ECDSA', namedCurve: 'P-256' }, true, ['sign']);
  const [privateKey, publicKey] = await Promise.all([
    subtle.exportKey('pkcs8', pair.privateKey),
    subtle.exportKey('spki', pair.publicKey),
  ]);
  const lines = base64(privateKey).match(/.{1,64}/g) ?? [];
  return {
    privateKey: ['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----'].join('\n'),
    publicKey: base64(publicKey),
  };
}

function base64(bytes: ArrayBuffer): string {
  return btoa(String.fromCharCode(...new Uint8Array(bytes)));
}

/** What the server leaves a place for, because it never has it. */
const place = /^# Put the private key [^\n]*\n# <key><\/key>$/m;

/** Puts the private key into the profile of the server, in place of the lines that ask for it. */
export function withProfileKey(profile: string, privateKey: string): string {
  if (!place.test(profile)) throw new Error('The profile has no place for a private key');
  return profile.replace(place, () => `<key>\n${privateKey}\n</key>`);
}

/** As the apps know profiles by. */
export const profileType = 'application/x-openvpn-profile';
