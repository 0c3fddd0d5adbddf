import { spawn } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import type { Command, OptionValues } from '../command.ts';
import { CommandFailure, EXIT_BAD_INPUT, EXIT_NO_INPUT, EXIT_UNAVAILABLE, EXIT_USAGE, tell } from '../command.ts';
import { trustedFingerprint } from '../service/certificate.ts';
import { closeInput, askSecret } from '../service/prompt.ts';
import { ask } from './daemon.ts';
import { printable } from './terminal.ts';

export const login: Command = {
  name: 'login',
  usage: 'URL [--user NAME] [OPTION...]',
  summary: 'make this machine a device of yours; with --user, log the command line in',
  help: `Without --user, logs this machine's client in: it prints a link and a code (and opens the link on a desktop), which you
confirm in a browser, logged in there as you always are: by password, code, passkey or your provider. The machine is a
device of yours from then on, and "sallyport connect" connects it.

With --user, logs the command line in, for "sallyport user list" and the like: asks for the password (or reads it from
the standard input), at a terminal for a code where the user has a second factor, and keeps the session in
~/.config/sallyport/credentials.json, which only you can read. The two know nothing of each other.

Options:
  --user NAME           log the command line in as this user
  --name DEVICE         what the device is called; default: this machine's name
  --token-file FILE     log the client of a machine in by an API token, without a browser; "-" is the standard input
  --fingerprint SHA256  of the server's certificate, where no authority vouches for it; the server prints it
  --json                print JSON; of a login that waits for a browser an object a line: link and code, then the status

Examples:
  sallyport login https://vpn.example.org
  sallyport login https://vpn.example.org --name build-7 --token-file /etc/sallyport-token
  sallyport login https://vpn.example.org --user alice
  sallyport login https://127.0.0.1:8443 --user alice --fingerprint 3f5a... < password-file`,
  options: ['json'],
  valued: ['user', 'name', 'token-file', 'fingerprint'],
  arguments: [1, 1],
  async run(words, options, values) {
    if (values.has('user')) {
      if (values.has('name') || values.has('token-file'))
        throw new CommandFailure(
          EXIT_USAGE,
          '--name and --token-file are for the client, --user is for the command line',
        );
      const { login: toService } = await import('../service/login.ts');
      return toService.run(words, options, values);
    }
    return loginClient(words[0] ?? '', options.has('json'), values);
  },
};

async function loginClient(address: string, json: boolean, values: OptionValues): Promise<number> {
  const url = URL.parse(address.trim());
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new CommandFailure(EXIT_USAGE, 'that is no address of a service: it begins with https://');
  const file = values.get('token-file')?.at(-1);
  // Nobody compares a fingerprint to hear then that there is no daemon.
  await ask('status', {});
  const token = file === undefined ? null : await readToken(file);
  const status = await ask(
    'login',
    {
      url: url.origin,
      fingerprint: await fingerprintOf(url, values.get('fingerprint')?.at(-1)),
      token,
      deviceName: values.get('name')?.at(-1) ?? null,
    },
    {
      silenceMs: Infinity,
      onEvent: (event) => {
        if (json) process.stdout.write(`${JSON.stringify(event)}\n`);
        else invite(event);
      },
    },
  );
  if (json) process.stdout.write(`${JSON.stringify(status)}\n`);
  else if (status.account !== null) {
    const { deviceName, user, url: service } = status.account;
    tell(printable(`this machine is ${deviceName} of ${user} at ${service}; to connect it: sallyport connect`));
    if (status.message !== '') tell(`but ${printable(status.message)}`);
  }
  return 0;
}

/**
 * What a person confirms once is asked for here, where they are. While nothing may leave this machine without the tunnel,
 * the daemon alone reaches the service, and finds out by itself.
 */
async function fingerprintOf(url: URL, given: string | undefined): Promise<string | null> {
  if (given !== undefined) {
    const fingerprint = given.replaceAll(':', '').toLowerCase();
    if (/^[0-9a-f]{64}$/.test(fingerprint)) return fingerprint;
    throw new CommandFailure(EXIT_USAGE, '--fingerprint takes the 64 hexadecimal digits that the server prints');
  }
  try {
    return (await trustedFingerprint(url, undefined)) ?? null;
  } catch (error) {
    if (error instanceof CommandFailure && error.exitCode === EXIT_UNAVAILABLE) return null;
    throw error;
  }
}

async function readToken(file: string): Promise<string> {
  let text: string;
  if (file === '-') {
    text = await askSecret('API token');
    closeInput();
  } else {
    try {
      if ((statSync(file).mode & 0o004) !== 0) tell(`Warning: everyone can read ${file}; run: chmod 600 ${file}`);
      text = readFileSync(file, 'utf8');
    } catch (error) {
      throw new CommandFailure(EXIT_NO_INPUT, `${file} can't be read: ${(error as Error).message}`, { cause: error });
    }
  }
  const token = text.trim();
  if (/^[A-Za-z0-9_-]{20,200}$/.test(token)) return token;
  throw new CommandFailure(EXIT_BAD_INPUT, `${file === '-' ? 'the standard input' : file} holds no API token; it begins with spt_`); // prettier-ignore
}

interface Invitation {
  readonly verificationUri: string;
  readonly verificationUriComplete: string;
  readonly userCode: string;
  readonly expiresAt: string;
}

function invite({ verificationUri, verificationUriComplete, userCode, expiresAt }: Invitation): void {
  const minutes = Math.max(1, Math.round((Date.parse(expiresAt) - Date.now()) / 60_000));
  const opened = openInBrowser(verificationUriComplete);
  tell(
    `${opened ? 'Your browser opens this link; if it does not, open it yourself' : 'To log in, open this link'}, here or on your phone:

  ${printable(verificationUriComplete)}

and let this machine in if the page shows this very code (or type it at ${printable(verificationUri)}):

  ${printable(userCode)}

Waiting, for ${String(minutes)} minutes at most …`,
  );
}

/** Where there is a desktop and somebody before it. Answers whether it was tried. */
function openInBrowser(link: string): boolean {
  const env = process.env;
  const hasDesktop = env['DISPLAY'] !== undefined || env['WAYLAND_DISPLAY'] !== undefined;
  const isRemote = env['SSH_CONNECTION'] !== undefined;
  if (!hasDesktop || isRemote || !process.stderr.isTTY || process.getuid?.() === 0) return false;
  // It becomes an argument of a program: an address of the web, and nothing else.
  const url = URL.parse(link);
  if (url === null || !/^https?:$/.test(url.protocol)) return false;
  const child = spawn('xdg-open', [url.href], { stdio: 'ignore', detached: true });
  child.on('error', () => undefined);
  child.unref();
  return true;
}
