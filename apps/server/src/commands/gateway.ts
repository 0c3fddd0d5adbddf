import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { parseJoinToken } from '@sallyport/link';
import { ConfigurationError, type Override } from '../config/read.ts';
import { prepareDataFolders } from '../data-folders.ts';
import { writeMembership } from '../membership.ts';
import { parseServerArguments, UsageError } from '../server-arguments.ts';
import { EXIT_NOT_PERMITTED } from '../start-error.ts';
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

Name and place are told when it joins; from then on "sallyport gateway update" changes them. What a later
"sallyport gateway run" has to know (--data, --gateway-port, --address) belongs into the configuration file.

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
  const rest = argv.filter((word) => word !== '--prepare');
  const { tokens } = parseArgs({ args: rest, strict: false, tokens: true, allowPositionals: true, options: VALUED });
  const [url, token, ...more] = tokens.filter(({ kind }) => kind === 'positional');
  if (tokens.some((one) => one.kind === 'option' && ['help', 'h'].includes(one.name))) {
    process.stdout.write(`${GATEWAY_JOIN_HELP}\n`);
    return 0;
  }
  if (url?.kind !== 'positional' || token?.kind !== 'positional' || more.length > 0) {
    return complain('it takes the URL of the service and a join token; see --help');
  }
  const options = rest.filter((_word, index) => index !== url.index && index !== token.index);
  const parsed = URL.parse(url.value);
  if (parsed === null || !/^https?:$/.test(parsed.protocol)) {
    return complain(`"${url.value}" is no URL of a service; write it as https://vpn.example.org`);
  }
  const text = token.value === '-' ? readFileSync(0, 'utf8').trim() : token.value;
  if (parseJoinToken(text) === undefined) {
    // It is not repeated here: it may be a token with a letter missing.
    return complain('the token is not whole; copy all of it, from spj_ to the end');
  }
  if (process.geteuid?.() !== 0) return complain('this takes root; run it with sudo', EXIT_NOT_PERMITTED);
  let call;
  try {
    call = parseServerArguments(options, GATEWAY_ONLY);
  } catch (error) {
    if (error instanceof UsageError) return complain(error.message);
    if (error instanceof ConfigurationError) return complain(error.message, EXIT_BAD_INPUT);
    throw error;
  }
  if (call.kind !== 'run') return serverCommand(options);
  const { data, process: users } = call.configuration;
  const folders = prepareDataFolders(data, { gateway: users.gatewayUid });
  writeMembership(folders.joinFile, { url: parsed.origin + parsed.pathname.replace(/\/$/, ''), joinToken: text });
  if (argv.includes('--prepare')) {
    process.stdout.write(
      `Written to ${folders.joinFile}. "sallyport gateway run" joins ${parsed.origin} and serves it.\n`,
    );
    return 0;
  }
  return runServer(call.configuration, { json: call.json, print: (line) => void process.stdout.write(`${line}\n`) });
}

const EXIT_USAGE = 64;
const EXIT_BAD_INPUT = 65;
/** Of the server's options those that take a value, so that it isn't taken for the URL. */
const VALUED = {
  data: { type: 'string' },
  listen: { type: 'string' },
  'gateway-port': { type: 'string' },
  config: { type: 'string' },
} as const;
