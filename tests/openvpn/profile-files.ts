// Parts of profiles; the keys are no secrets of anybody's.
import { formatStaticKey, formatTlsCryptV2ClientKey } from '../../packages/openvpn/src/wire/key-file.ts';
import { parseProfile, type OpenVpnProfile } from '../../packages/openvpn/src/profile/index.ts';

export const CERTIFICATE = `-----BEGIN CERTIFICATE-----
MIIBszCCAVmgAwIBAgIUQ2VydGlmaWNhdGVPZk5vYm9keQ
-----END CERTIFICATE-----
`;
export const KEY = `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg
-----END PRIVATE KEY-----
`;
export const STATIC_KEY = formatStaticKey(Uint8Array.from({ length: 256 }, (_, i) => i));
const wrappedKey = new Uint8Array(300);
new DataView(wrappedKey.buffer).setUint16(298, 300);
export const CLIENT_KEY = formatTlsCryptV2ClientKey({ key: new Uint8Array(256).fill(7), wrappedKey });

export const block = (name: string, text: string): string => `<${name}>\n${text}</${name}>\n`;

/** The least that a profile has. */
export const LEAST = `client
remote vpn.example.com
remote-cert-tls server
${block('ca', CERTIFICATE)}${block('cert', CERTIFICATE)}${block('key', KEY)}`;

export function parsed(text: string): OpenVpnProfile {
  const result = parseProfile(text);
  if (!result.ok) throw new Error(result.faults.map(({ line, message }) => `${String(line)}: ${message}`).join('\n'));
  return result.profile;
}

export function faultsIn(text: string): string[] {
  const result = parseProfile(text);
  return result.ok ? [] : result.faults.map(({ line, message }) => `${String(line)}: ${message}`);
}

export function warningsIn(text: string): string[] {
  const result = parseProfile(text);
  return result.ok ? result.warnings.map(({ line, message }) => `${String(line)}: ${message}`) : ['(faulty)'];
}
