/** What both servers and all clients of the figures have: one authority's certificates, and keys of tls-crypt-v2. */
import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Laboratory } from '@sallyport/netlab';
import {
  formatTlsCryptV2ClientKey,
  formatTlsCryptV2ServerKey,
  METADATA_USER,
  wrapClientKey,
  type ClientKeyFile,
} from '@sallyport/openvpn';
import { nodeOpenVpnCrypto } from '@sallyport/openvpn-plane';

export interface KeyPair {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
}

/** Can be written as JSON. */
export interface Credentials {
  /** PEM. */
  readonly authority: string;
  readonly server: KeyPair;
  readonly client: KeyPair;
  /** Base64, 128 bytes. */
  readonly serverKey: string;
}

export async function makeCredentials(laboratory: Laboratory): Promise<Credentials> {
  const authority = join(laboratory.folder, 'authority');
  const make = async (name: string, extensions: readonly string[], signer: readonly string[]): Promise<KeyPair> => {
    const path = join(laboratory.folder, name);
    await laboratory.run([
      ...['openssl', 'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'],
      ...['-subj', `/CN=${name}`, '-keyout', `${path}.key`, '-out', `${path}.pem`, ...signer],
      ...extensions.flatMap((extension) => ['-addext', extension]),
    ]);
    return { certificate: readFileSync(`${path}.pem`, 'utf8'), privateKey: readFileSync(`${path}.key`, 'utf8') };
  };
  const { certificate } = await make('authority', ['keyUsage=critical,keyCertSign'], []);
  const signed = ['-CA', `${authority}.pem`, '-CAkey', `${authority}.key`];
  const leaf = (usage: string): string[] => [
    'basicConstraints=critical,CA:false',
    'keyUsage=critical,digitalSignature',
    `extendedKeyUsage=${usage}`,
  ];
  return {
    authority: certificate,
    server: await make('server', leaf('serverAuth'), signed),
    client: await make('client', leaf('clientAuth'), signed),
    serverKey: randomBytes(128).toString('base64'),
  };
}

/** The key of the client `number`, which it shows whom it belongs to by. */
export function clientKey({ serverKey }: Credentials, number: number): ClientKeyFile {
  const key = new Uint8Array(randomBytes(256));
  const metadata = Uint8Array.of(METADATA_USER, ...Buffer.from(String(number)));
  return { key, wrappedKey: wrapClientKey(nodeOpenVpnCrypto, Buffer.from(serverKey, 'base64'), key, metadata) };
}

/** What openvpn reads them from, as lines of its configuration. */
export function openvpnLines(credentials: Credentials, role: 'server' | 'client'): string[] {
  const { certificate, privateKey } = credentials[role];
  const block = (name: string, text: string): string => `<${name}>\n${text.trim()}\n</${name}>`;
  const key =
    role === 'server'
      ? formatTlsCryptV2ServerKey(Buffer.from(credentials.serverKey, 'base64'))
      : formatTlsCryptV2ClientKey(clientKey(credentials, 1));
  return [
    block('ca', credentials.authority),
    block('cert', certificate),
    block('key', privateKey),
    block('tls-crypt-v2', key),
  ];
}
