// Our client in the namespace that it is started in: one connection, to what the JSON of the file named says. It says each
// event as a line of JSON; a line on standard input is what it is to do. The interface's addresses are the test's to set.
import { readFileSync } from 'node:fs';
import { Secret } from '@sallyport/core';
import { parseStaticKey, parseTlsCryptV2ClientKey, type ClientOptions, type ClientWrap } from '@sallyport/openvpn';
import { openOpenVpnClientPlane, remotePath } from '@sallyport/openvpn-plane';

export interface ClientStart {
  readonly interfaceName: string;
  readonly remote: string;
  readonly port: number;
  /** PEM. */
  readonly authority: string;
  readonly certificate?: string | undefined;
  readonly privateKey?: string | undefined;
  readonly wrap: { readonly kind: ClientWrap['kind']; readonly text?: string };
  readonly login?: { readonly userName: string; readonly password: string };
  readonly settings?: ClientOptions['settings'];
  /** What the server's certificate must say. */
  readonly subject?: string;
}

const start = JSON.parse(readFileSync(process.argv[2], 'utf8')) as ClientStart;

function wrapOf({ kind, text = '' }: ClientStart['wrap']): ClientWrap {
  if (kind === 'none') return { kind };
  if (kind === 'tls-crypt-v2') {
    const file = parseTlsCryptV2ClientKey(text);
    if (file === undefined) throw new Error('no tls-crypt-v2 key');
    return { kind, ...file };
  }
  const key = parseStaticKey(text);
  if (key === undefined) throw new Error('no static key');
  return kind === 'tls-auth' ? { kind, key, hash: 'sha256', direction: 1 } : { kind, key };
}

const { plane, side, start: begin } = openOpenVpnClientPlane({ name: start.interfaceName, mtu: 1500, workers: 2 });
plane.listen(0, 0);
await begin();
const { login, subject } = start;
const connection = side.connect({
  remote: remotePath(start.remote, start.port),
  wrap: wrapOf(start.wrap),
  settings: start.settings,
  credentials: login && (() => ({ userName: login.userName, password: new Secret(login.password) })),
  tls: {
    authority: start.authority,
    certificate: start.certificate,
    privateKey: start.privateKey === undefined ? undefined : new Secret(start.privateKey),
    check: (certificate) =>
      subject === undefined || certificate.subject === subject ? undefined : `it is ${certificate.subject}`,
  },
  report: (event) => {
    process.stdout.write(`${JSON.stringify(event)}\n`);
    if (event.kind !== 'ended') return;
    process.stderr.write(`${JSON.stringify(plane.drops)}\n`);
    setTimeout(() => process.exit(0), 100);
  },
});
process.on('SIGTERM', () => {
  connection.stop();
});
