import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseJoinToken } from '@sallyport/link';
import { ConfigurationError, type Override } from '../config/read.ts';
import { DataFolderError, lockDataFolder, prepareDataFolders } from '../data-folders.ts';
import { writeMembership } from '../membership.ts';
import { parseServerArguments, UsageError } from '../server-arguments.ts';
import { EXIT_FAILED, EXIT_NOT_PERMITTED } from '../start-error.ts';
import { runServer } from '../supervisor.ts';
import { serverCommand } from './server.ts';

/** What makes a server one that is only a gateway. */
const GATEWAY_ONLY: readonly Override[] = [
  { path: ['control', 'enabled'], value: false, option: 'gateway' },
  { path: ['gateway', 'enabled'], value: true, option: 'gateway' },
];

/** `sallyport gateway run [OPTION...]`: the gateway that this machine joined as. Options as `sallyport server` has them. */
export function runGateway(argv: readonly string[]): Promise<number> {
  return serverCommand(argv, GATEWAY_ONLY);
}

export const GATEWAY_JOIN_HELP = `Usage: sallyport gateway join URL - [OPTION...] < TOKEN-FILE
       sallyport gateway join URL TOKEN [OPTION...]

Makes this machine a gateway of the service at URL, and runs it until it is stopped. The token comes from
"sallyport join-token create" there, and lets one gateway in, once. "-" reads it from the standard input: on the command
line every user of this machine can see it until it is used. After that "sallyport gateway run" runs the gateway, and so
does "sallyport server" with enabled = false in [control].

Options:
  --name NAME         its name among the gateways (default: this machine's)
  --region REGION     where it is, as a short name; a region that the token names counts before this
  --country CODE      two capital letters: DE
  --city CITY
  --address HOST      the name or address that devices connect to (default: this machine's own)
  --prepare           only write down where it belongs, for a systemd unit that runs "sallyport gateway run"
  --data DIR, --gateway-port N, --config FILE, --json: as in "sallyport server --help"

Name and place are told when it joins; from then on "sallyport gateway update" there changes them. They and the address
are kept, and count where the configuration file says nothing. A later "sallyport gateway run" takes --data and
--gateway-port again, or finds them in the configuration file.

Examples:
  sallyport gateway join https://vpn.example.org - < token-file
  sallyport gateway join https://vpn.example.org - --region oslo --country NO --city Oslo < token-file
  sallyport gateway join https://vpn.example.org - --prepare < token-file && systemctl enable --now sallyport

Exit codes:
  0   ended as asked, or prepared
  1   it could not start, or a part of it failed
  64  the command line is wrong
  65  the configuration file is faulty
  66  the configuration file is not there, or can't be read
  77  it takes root; or the control plane refused this gateway`;

/** `sallyport gateway join URL TOKEN [OPTION...]`. Returns the exit code. */
export async function joinGateway(argv: readonly string[]): Promise<number> {
  const complain = (text: string, code = EXIT_USAGE): number => {
    process.stderr.write(`sallyport gateway join: ${text}\n`);
    return code;
  };
  const words = wordsOf(argv);
  if (words.help) {
    process.stdout.write(`${GATEWAY_JOIN_HELP}\n`);
    return 0;
  }
  const [url, token, ...more] = words.positional;
  if (url === undefined || token === undefined || more.length > 0) {
    return complain('it takes the URL of the service and a join token; see --help');
  }
  const parsed = URL.parse(url);
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    return complain(`"${url}" is no URL of a service; write it as https://vpn.example.org`);
  }
  const joinToken = token === '-' ? readFileSync(0, 'utf8').trim() : token;
  if (parseJoinToken(joinToken) === undefined) {
    // It is not repeated here: it may be a token with a letter missing.
    return complain('the token is not whole; copy all of it, from spj_ to the end');
  }
  if (process.geteuid?.() !== 0) return complain('this takes root; run it with sudo', EXIT_NOT_PERMITTED);
  let call;
  try {
    call = parseServerArguments(words.server, [...GATEWAY_ONLY, ...words.own]);
  } catch (error) {
    if (error instanceof UsageError) return complain(error.message);
    if (error instanceof ConfigurationError)
      return complain(error.message, error.code === 'unreadable' ? EXIT_NO_INPUT : EXIT_BAD_INPUT);
    throw error;
  }
  if (call.kind !== 'run') return serverCommand(words.server);
  const { data, gateway, process: users } = call.configuration;
  const given = words.own.map(({ path }) => path[1] ?? '');
  const self = Object.fromEntries(
    Object.entries({
      name: gateway.name,
      region: gateway.region,
      country: gateway.country,
      city: gateway.city,
      public_address: gateway.publicAddress,
    }).filter(([key]) => given.includes(key)),
  );
  let joinFile;
  try {
    const unlock = lockDataFolder(data);
    ({ joinFile } = prepareDataFolders(data, { gateway: users.gatewayUid }));
    writeMembership(joinFile, { url: parsed.origin + parsed.pathname.replace(/\/$/, ''), joinToken, self });
    unlock();
  } catch (error) {
    if (error instanceof DataFolderError) return complain(error.message, EXIT_FAILED);
    throw error;
  }
  if (words.prepare) {
    process.stdout.write(`Written to ${joinFile}. "sallyport gateway run" joins ${parsed.origin} and serves it.\n`);
    return 0;
  }
  return runServer(call.configuration, { json: call.json, print: (line) => void process.stdout.write(`${line}\n`) });
}

/** Its own options: keys of [gateway] in the configuration file. */
const OWN = { name: 'name', region: 'region', country: 'country', city: 'city', address: 'public_address' } as const;
/** Of the server's options those that take a value, so that it isn't taken for the URL. */
const VALUED = ['data', 'listen', 'gateway-port', 'config'];

/** Takes the command line apart: what is its own, and what the server's options are. */
function wordsOf(argv: readonly string[]) {
  const options = Object.fromEntries(
    [...Object.keys(OWN), ...VALUED].map((name) => [name, { type: 'string' as const }]),
  );
  const { tokens } = parseArgs({ args: [...argv], strict: false, tokens: true, allowPositionals: true, options });
  const positional: string[] = [];
  const own: Override[] = [];
  const taken = new Set<number>();
  let prepare = false;
  let help = false;
  for (const token of tokens) {
    if (token.kind === 'positional') {
      positional.push(token.value);
      taken.add(token.index);
    } else if (token.kind === 'option') {
      const key = Object.hasOwn(OWN, token.name) ? OWN[token.name as keyof typeof OWN] : undefined;
      if (token.name === 'help' || token.name === 'h') help = true;
      if (token.name === 'prepare') prepare = true;
      if (token.name !== 'prepare' && key === undefined) continue;
      taken.add(token.index);
      if (token.value !== undefined && !token.inlineValue) taken.add(token.index + 1);
      if (key !== undefined) own.push({ path: ['gateway', key], value: token.value, option: token.rawName });
    }
  }
  return { positional, own, prepare, help, server: argv.filter((_word, index) => !taken.has(index)) };
}

const EXIT_USAGE = 64;
const EXIT_BAD_INPUT = 65;
const EXIT_NO_INPUT = 66;
