/*
 * Options of openvpn(8) that our client does not obey: those that make no difference here, those whose absence somebody
 * would notice, and those without which the profile would mean something else, with the remedy.
 */

const words = (text: string): string[] => text.trim().split(/\s+/);

/** What they ask for is so anyway, is for other systems, or is about how OpenVPN's program works inside. */
const WITHOUT_EFFECT = words(`
  verb mute mute-replay-warnings nobind bind persist-key persist-tun persist-local-ip persist-remote-ip resolv-retry float
  auth-nocache nice mlock fast-io suppress-timestamps machine-readable-output errors-to-stderr single-session disable-dco
  ip-win32 tap-sleep route-method dhcp-renew dhcp-release dhcp-pre-release dhcp-internal register-dns win-sys show-net-up
  pause-exit service windows-driver ip-remote-hint rdns-internal allow-nonadmin tcp-nodelay socket-flags sndbuf rcvbuf
  txqueuelen tcp-queue-limit bcast-buffers tun-ipv6 disable-occ opt-verify preresolve remap-usr1 multihome passtos mtu-disc
  mtu-test route-delay prng parameter echo ping-timer-rem up-delay up-restart tls-exit tls-timeout tran-window tmp-dir engine
  providers dev-node allow-pull-fqdn replay-window replay-persist route-table udp-mtu link-mtu tun-mtu-max max-packet-size
  max-routes auth-user-pass-optional explicit-exit-notify reneg-pkts http-proxy-retry http-proxy-timeout http-proxy-option socks-proxy-retry daemon writepid
  auth-token-user compat-names no-name-remapping key-method vlan-tagging protocol-flags key-derivation proto-force
`);

/** Those that may stand in a `<connection>` block. */
export const CONNECTION_WITHOUT_EFFECT: ReadonlySet<string> = new Set(
  words(
    'bind nobind float explicit-exit-notify mtu-disc link-mtu tun-mtu-max socks-proxy-retry http-proxy-retry http-proxy-timeout http-proxy-option',
  ),
);

const OURS = 'our own choice of ciphers is used, which is a strict one';
const LOG = 'what happens is told on the standard error';
const MANAGEMENT = 'there is no management interface';

/** By name: what is different here. */
export const WARNED: ReadonlyMap<string, string> = new Map([
  ...words('tls-cipher tls-ciphersuites tls-groups tls-cert-profile ecdh-curve').map((name) => [name, OURS] as const),
  ...words('log log-append status status-version syslog').map((name) => [name, LOG] as const),
  ...words(
    `management management-client management-client-user management-client-group management-hold management-signal
     management-log-cache management-query-passwords management-query-proxy management-query-remote
     management-forget-disconnect management-up-down`,
  ).map((name) => [name, MANAGEMENT] as const),
  ...words('user group chroot setcon').map((name) => [name, 'it stays root, to take back what it changed'] as const),
  ...words('lport local bind-dev').map((name) => [name, 'the system chooses where datagrams leave from'] as const),
  ['mark', 'datagrams of the tunnel are marked with a number of our own'],
  ['shaper', 'the rate is not limited'],
  ...words('inactive session-timeout').map((name) => [name, 'the tunnel stays up until it is taken down'] as const),
  ['block-outside-dns', 'it is for Windows'],
  ['remote-random-hostname', 'the name is asked for as it is'],
  ['compat-mode', 'nothing is made weaker for old servers'],
  ['auth-token', 'the token of an earlier connection is not used'],
  ['allow-recursive-routing', 'packets to the server itself never enter the tunnel'],
]);

const SCRIPT = 'programs and plug-ins of a profile are not run; remove the line';
const SCRIPT_NAMES = `${SCRIPT} (name servers and routes are set without a script)`;
const SERVER = "this is a server's option; take the profile that the server gave out for clients";
const COMPRESSION =
  'compression is not spoken, for it tells of what is encrypted, and neither are its headers; take the line out here and at ' +
  'the server';
const STATIC = 'a tunnel by one static key is not spoken, for it has no forward secrecy; the server has to use TLS';
const FILES = 'put certificate and key into the profile, as <cert> and <key>';
const PKCS12 =
  'PKCS #12 is not read; convert it: openssl pkcs12 -in FILE -nodes -out FILE.pem, and put its parts into <ca>, <cert> and <key>';
const PROXY = 'proxies are not spoken; remove the line where the server is reached without one';
const PURPOSE = 'write remote-cert-tls server instead, which is the same and more';

/** By name: why not, and what to do. */
export const REFUSED: ReadonlyMap<string, string> = new Map([
  ...words('up down').map((name) => [name, SCRIPT_NAMES] as const),
  ...words(
    `route-up route-pre-down ipchange tls-verify tls-export-cert plugin iproute down-pre dns-updown learn-address
     auth-user-pass-verify client-connect client-disconnect client-crresponse tls-crypt-v2-verify`,
  ).map((name) => [name, SCRIPT] as const),
  ...words(
    `server server-ipv6 server-bridge push push-reset push-remove ifconfig-pool ifconfig-pool-persist ifconfig-ipv6-pool
     ifconfig-push ifconfig-ipv6-push ifconfig-push-constraint iroute iroute-ipv6 client-to-client duplicate-cn
     client-config-dir ccd-exclusive disable max-clients max-routes-per-client dh tls-server verify-client-cert
     client-cert-not-required username-as-common-name x509-username-field auth-gen-token auth-gen-token-secret
     connect-freq connect-freq-initial port-share stale-routes-check hash-size tls-crypt-v2-max-age override-username
     vlan-accept vlan-pvid x509-track management-client-auth`,
  ).map((name) => [name, SERVER] as const),
  ...words('comp-lzo compress comp-noadapt').map((name) => [name, COMPRESSION] as const),
  ...words('secret allow-deprecated-insecure-static-crypto').map((name) => [name, STATIC] as const),
  ...words(
    `pkcs11-id pkcs11-id-management pkcs11-providers pkcs11-cert-private pkcs11-pin-cache pkcs11-private-mode
     pkcs11-protected-authentication cryptoapicert management-external-key management-external-cert`,
  ).map((name) => [name, `a key outside of the profile is not used; ${FILES}`] as const),
  ['pkcs12', PKCS12],
  ...words('http-proxy http-proxy-user-pass http-proxy-override socks-proxy').map((name) => [name, PROXY] as const),
  ...words('ns-cert-type remote-cert-ku').map((name) => [name, PURPOSE] as const),
  ['tls-remote', 'OpenVPN has given it up; write verify-x509-name NAME name'],
  ['verify-hash', "write peer-fingerprint with the SHA-256 of the server's certificate instead"],
  ['capath', 'put the certificates of the folder into <ca>'],
  [
    'crl-verify',
    'lists of revoked certificates are not read; remove the line, or name the certificate: peer-fingerprint',
  ],
  ['askpass', 'its file is not read; remove the line, and the password of the key is asked for'],
  ['no-replay', 'without a guard against replays the tunnel is not safe; remove the line'],
  ['ncp-disable', 'without negotiation old ciphers would be used; remove the line'],
  ['no-iv', 'OpenVPN has given it up; remove the line'],
  ['ifconfig-noexec', 'the interface gets the addresses of the server; remove the line'],
  ['route-noexec', 'write route-nopull, and the routes that you want'],
  ['client-nat', 'addresses are not translated; remove the line'],
  ['lladdr', 'it is for Ethernet (tap), which is not spoken; remove the line'],
  ['config', 'other files are not read in; put their lines here'],
  ['cd', 'write full paths, or put the files into the profile, and remove the line'],
  ['connection', 'write it as a block: <connection> … </connection>'],
  ['keying-material-exporter', 'keys are not given out; remove the line'],
  ['force-tls-key-material-export', 'it is so where the server can; remove the line'],
  ['gremlin', 'it is for tests; remove the line'],
]);

export const IGNORED: ReadonlySet<string> = new Set(WITHOUT_EFFECT);
