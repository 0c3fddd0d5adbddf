import { ApiClient, ApiProblem, routes } from '@sallyport/api';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_NOT_PERMITTED, EXIT_USAGE, tell } from '../command.ts';
import { trustedFingerprint } from './certificate.ts';
import { clientName, CODE_QUESTION, connect, connectionTo, problemCode, USER_AGENT } from './connection.ts';
import { printable } from '../client/terminal.ts';
import { readCredentials, removeCredentials, writeCredentials } from './credentials.ts';
import { askSecret, closeInput } from './prompt.ts';

export const login: Command = {
  name: 'login',
  usage: 'URL --user NAME [--fingerprint SHA256]',
  summary: 'log in to a service; commands then go there',
  help: `Asks for the password (or reads it from the standard input), at a terminal for a code where the user has a second
factor, and keeps the session in
~/.config/sallyport/credentials.json, which only you can read.

Options:
  --user NAME           the user's name
  --fingerprint SHA256  of the server's certificate, where no authority vouches for it; the server prints it
  --json                print JSON

Examples:
  sallyport login https://vpn.example.org --user alice
  sallyport login https://127.0.0.1:8443 --user alice --fingerprint 3f5a... < password-file`,
  options: ['json'],
  valued: ['user', 'fingerprint'],
  arguments: [1, 1],
  async run([address = ''], options, values) {
    const url = serviceUrl(address);
    const name = values.get('user')?.at(-1);
    if (name === undefined) throw new CommandFailure(EXIT_USAGE, '--user NAME is missing');
    const fingerprint = await trustedFingerprint(url, values.get('fingerprint')?.at(-1));
    const password = await askSecret('Password');
    closeInput();
    const session = await openSession(url, fingerprint, name, password);
    if (options.has('json')) process.stdout.write(`${JSON.stringify(session, undefined, 2)}\n`);
    else tell(printable(`logged in to ${url.origin} as ${session.user} until ${session.expiresAt}`));
    return 0;
  },
};

export const setup: Command = {
  name: 'setup',
  usage: '--user NAME [--fingerprint SHA256]',
  summary: 'create the first administrator of a new service, and log in',
  help: `Reads, from the terminal or as two lines of the standard input, the one-time link that the server printed at its
start and the password that the administrator is to have.

Options:
  --user NAME           the administrator's name
  --fingerprint SHA256  of the server's certificate, where no authority vouches for it; the server prints it
  --json                print JSON

Example:
  sallyport setup --user alice`,
  options: ['json'],
  valued: ['user', 'fingerprint'],
  arguments: [0, 0],
  async run(_words, options, values) {
    const name = values.get('user')?.at(-1);
    if (name === undefined) throw new CommandFailure(EXIT_USAGE, '--user NAME is missing');
    const link = serviceUrl(await askSecret('The one-time link'));
    const token = link.hash.slice(1);
    if (token === '') throw new CommandFailure(EXIT_USAGE, 'that is no one-time link: it has no token behind a "#"');
    const fingerprint = await trustedFingerprint(link, values.get('fingerprint')?.at(-1));
    const password = await askSecret('A password for the administrator');
    closeInput();
    const client = new ApiClient({ url: link.origin, certificateSha256: fingerprint, userAgent: USER_AGENT });
    await connectionTo(client).call(routes.setUp, { body: { token, name, password } });
    const session = await openSession(link, fingerprint, name, password);
    if (options.has('json')) process.stdout.write(`${JSON.stringify(session, undefined, 2)}\n`);
    else tell(`${name} is administrator of ${link.origin} and logged in here`);
    return 0;
  },
};

export const acceptInvitation: Command = {
  name: 'invitation accept',
  usage: '[--fingerprint SHA256]',
  summary: 'choose a password by the link of an invitation, and log in',
  help: `Reads, from the terminal or as two lines of the standard input, the link of the invitation and the new password.

Options:
  --fingerprint SHA256  of the server's certificate, where no authority vouches for it
  --json                print JSON

Example:
  sallyport invitation accept`,
  options: ['json'],
  valued: ['fingerprint'],
  arguments: [0, 0],
  async run(_words, options, values) {
    const link = serviceUrl(await askSecret('The link of the invitation'));
    const token = link.hash.slice(1);
    if (token === '') throw new CommandFailure(EXIT_USAGE, 'that is no invitation: it has no token behind a "#"');
    const fingerprint = await trustedFingerprint(link, values.get('fingerprint')?.at(-1));
    const password = await askSecret('A password of your own');
    closeInput();
    const client = new ApiClient({ url: link.origin, certificateSha256: fingerprint, userAgent: USER_AGENT });
    const user = (await connectionTo(client).call(routes.acceptInvitation, { body: { token, password } })) as {
      name: string;
    };
    const session = await openSession(link, fingerprint, user.name, password);
    if (options.has('json')) process.stdout.write(`${JSON.stringify(session, undefined, 2)}\n`);
    else tell(printable(`logged in to ${link.origin} as ${user.name}`));
    return 0;
  },
};

export const logout: Command = {
  name: 'logout',
  usage: '',
  summary: 'end the session and forget it',
  help: `Ends the session at the service and removes it from this machine.

Example:
  sallyport logout`,
  options: [],
  arguments: [0, 0],
  async run() {
    if (readCredentials() === undefined) {
      tell('nobody is logged in here');
      return 0;
    }
    try {
      await (await connect()).call(routes.logOut, {});
    } finally {
      removeCredentials();
    }
    tell('logged out');
    return 0;
  },
};

function serviceUrl(text: string): URL {
  const url = URL.parse(text.trim());
  if (url === null || !/^https?:$/.test(url.protocol))
    throw new CommandFailure(EXIT_USAGE, 'that is no address of a service: it begins with https://');
  return url;
}

/** Asks for the second factor at the terminal. */
async function askCode(error: unknown): Promise<string> {
  const { cause } = error as CommandFailure;
  const methods = cause instanceof ApiProblem ? (cause.problem.methods ?? []) : [];
  if (process.stdin.isTTY && methods.some((method) => method !== 'passkey')) return askSecret(CODE_QUESTION);
  throw new CommandFailure(
    EXIT_NOT_PERMITTED,
    'this user has a second factor, which is asked for at a terminal (a passkey in a browser only); programs use an API ' +
      'token instead: set SALLYPORT_URL and SALLYPORT_TOKEN_FILE',
    { cause: error },
  );
}

async function openSession(
  url: URL,
  fingerprint: string | undefined,
  name: string,
  password: string,
): Promise<{ url: string; user: string; expiresAt: string }> {
  const before = readCredentials();
  const known = before?.url === url.origin ? before.knownClient : undefined;
  const client = new ApiClient({ url: url.origin, certificateSha256: fingerprint, userAgent: USER_AGENT });
  const body = { name, password, client: clientName(), ...(known === undefined ? {} : { knownClient: known }) };
  const session = (await connectionTo(client)
    .call(routes.logIn, { body })
    .catch(async (error: unknown) => {
      if (problemCode(error) !== 'secondFactorRequired') throw error;
      return connectionTo(client).call(routes.logIn, { body: { ...body, code: await askCode(error) } });
    })) as {
    token: string;
    knownClient: string | null;
    expiresAt: string;
    user: { name: string };
  };
  writeCredentials({
    url: url.origin,
    token: session.token,
    ...(fingerprint === undefined ? {} : { fingerprint }),
    ...(session.knownClient === null ? {} : { knownClient: session.knownClient }),
  });
  return { url: url.origin, user: session.user.name, expiresAt: session.expiresAt };
}
