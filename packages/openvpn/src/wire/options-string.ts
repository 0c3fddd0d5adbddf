/*
 * The options string of key method 2: what both ends of OpenVPN 2 compare, to warn of profiles that don't belong
 * together. Nothing depends on it but the cipher of clients that negotiate none.
 */

export interface OptionsStringValues {
  readonly server: boolean;
  readonly tcp: boolean;
  readonly tunMtu: number;
  /** That of `--cipher`; undefined where a profile has none, as all that negotiate need none. */
  readonly cipher: string | undefined;
  readonly tlsAuth: boolean;
}

/** What openvpn says for a cipher: the bytes around a packet, `--auth`, the length of the key in bits. */
function dataChannel(cipher: string | undefined): { overhead: number; auth: string; keySize: number } {
  // Of Blowfish with SHA-1, which is still what is meant by nothing.
  if (cipher === undefined) return { overhead: 41, auth: 'SHA1', keySize: 128 };
  if (cipher === 'AES-256-CBC') return { overhead: 69, auth: 'SHA256', keySize: 256 };
  return { overhead: 49, auth: '[null-digest]', keySize: cipher === 'AES-128-GCM' ? 128 : 256 };
}

export function optionsString({ server, tcp, tunMtu, cipher, tlsAuth }: OptionsStringValues): string {
  const { overhead, auth, keySize } = dataChannel(cipher);
  const transport = tcp ? (server ? 'TCPv4_SERVER' : 'TCPv4_CLIENT') : 'UDPv4';
  return [
    'V4',
    'dev-type tun',
    `link-mtu ${String(tunMtu + overhead + (tcp ? 2 : 0))}`,
    `tun-mtu ${String(tunMtu)}`,
    `proto ${transport}`,
    ...(cipher === undefined ? [] : [`cipher ${cipher}`]),
    `auth ${auth}`,
    `keysize ${String(keySize)}`,
    ...(tlsAuth ? ['tls-auth'] : []),
    'key-method 2',
    server ? 'tls-server' : 'tls-client',
  ].join(',');
}

/** The value of an option, '' where it has none, undefined where it is not there. */
export function optionOf(options: string, name: string): string | undefined {
  for (const option of options.split(',')) {
    if (option === name) return '';
    if (option.startsWith(`${name} `)) return option.slice(name.length + 1);
  }
  return undefined;
}
