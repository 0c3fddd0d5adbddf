/**
 * The profile of an OpenVPN device, for OpenVPN 2.5 to 2.7, OpenVPN Connect 3 and NetworkManager. Only what all of them
 * know, or pass over, stands in it.
 */
import type { Gateway, Settings } from '@sallyport/api';
import { GATEWAY_NAME_PREFIX } from './authority.ts';
import { offeredCiphers } from './push.ts';

/** OpenVPN takes 64, each is tried in turn. */
const MAX_GATEWAYS = 16;
/** How long a remote has to answer before the next one is tried, in seconds. */
const POLL_SECONDS = 10;

export interface ProfileParts {
  readonly deviceName: string;
  readonly userName: string;
  readonly login: 'certificate' | 'password' | 'web';
  /** The device's, PEM; null: none is asked for. */
  readonly certificate: string | null;
  /** The best first; those without OpenVPN are passed over. */
  readonly gateways: readonly Pick<Gateway, 'name' | 'endpointHost' | 'transports'>[];
  /** PEM. */
  readonly authority: string;
  /** The block of the device's tls-crypt-v2 key. */
  readonly clientKey: string;
  /** The user has an authenticator app: its code is asked for together with the password. */
  readonly asksCode: boolean;
  readonly settings: Settings;
}

export function openVpnProfile(parts: ProfileParts): string {
  const { login, certificate, authority, clientKey, settings } = parts;
  const gateways = parts.gateways.slice(0, MAX_GATEWAYS);
  const names = gateways.map(({ name }) => name).join(', ');
  return [
    `# ${parts.deviceName} of ${parts.userName}, through ${names}`,
    '# Keep it to yourself: it holds a key.',
    'client',
    'dev tun',
    ...remotesOf(gateways),
    'nobind',
    'persist-tun',
    'resolv-retry infinite',
    `server-poll-timeout ${POLL_SECONDS}`,
    'remote-cert-tls server',
    `verify-x509-name ${GATEWAY_NAME_PREFIX} name-prefix`,
    'tls-version-min 1.2',
    `data-ciphers ${offeredCiphers(settings).join(':')}`,
    'auth SHA256',
    ...loginOf(parts),
    'verb 3',
    ...block('ca', authority),
    ...(certificate === null
      ? // OpenVPN Connect asks for a certificate otherwise.
        ['setenv CLIENT_CERT 0']
      : [
          ...block('cert', certificate),
          '# Put the private key that belongs to the certificate in the place of these two lines:',
          '# <key></key>',
        ]),
    ...block('tls-crypt-v2', clientKey),
    '',
  ].join('\n');

  /** What the user is asked for. */
  function loginOf({ asksCode }: ProfileParts): string[] {
    if (login === 'certificate') return [];
    if (login === 'web')
      // Without a certificate OpenVPN 2 demands this of a profile; gateways look at neither name nor password.
      return certificate === null ? ['auth-user-pass'] : [];
    return [
      'auth-user-pass',
      ...(asksCode ? ['static-challenge "Code of your authenticator app" 1'] : []),
      // A code that is asked for later is the answer to a refusal.
      'auth-retry interact',
      'auth-nocache',
    ];
  }
}

/** Those by UDP first: where nothing answers, TCP gets through more networks. */
function remotesOf(gateways: ProfileParts['gateways']): string[] {
  const by = (protocol: 'udp' | 'tcp'): string[] =>
    gateways.flatMap(({ endpointHost, transports: { openvpn } }) => {
      const port = protocol === 'udp' ? openvpn?.port : openvpn?.tcpPort;
      return port === undefined || port === 0 ? [] : [`remote ${endpointHost} ${port} ${protocol}`];
    });
  return [...by('udp'), ...by('tcp')];
}

function block(name: string, content: string): string[] {
  return [`<${name}>`, content.trim(), `</${name}>`];
}
