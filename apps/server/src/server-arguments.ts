import { isAbsolute, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { readConfigurationFile, type Override } from './config/read.ts';
import type { Configuration } from './config/schema.ts';
import { suggest } from '@sallyport/core';

/** The command line is wrong; the message says how. */
export class UsageError extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'UsageError';
  }
}

export const SERVER_HELP = `Usage: sallyport server [OPTION...]      (in a checkout: npm start -- [OPTION...])

Runs the VPN service on this machine: control plane and gateway. It takes root, and nothing needs to be configured.
When it is ready it prints its address and, as long as there is no administrator, a link that creates the first one.
It ends on SIGTERM and SIGINT (Ctrl-C), and leaves neither interface nor firewall rules behind.

Options:
  --data DIR              where to keep everything (default /var/lib/sallyport, in a checkout too)
  --listen ADDRESS:PORT   where the API listens (default 0.0.0.0:443 and [::]:443); can be given several times
  --gateway-port N        the UDP port of the tunnel (default 51820)
  --no-gateway            control plane only; gateways on other machines join it
  --config FILE           read this configuration file (default /etc/sallyport/sallyport.toml, where it is there)
  --json                  print one JSON object when it is ready
  --help, --version

Options count before the configuration file. "sallyport config show --default" prints one with every key explained.

Examples:
  npm start
  npm start -- --data /srv/vpn --listen 127.0.0.1:8443
  sallyport server --config ./sallyport.toml
  sallyport server --listen 192.0.2.10:443 --listen '[2001:db8::10]:443' --no-gateway

Exit codes:
  0   ended as asked
  1   it could not start, or a part of it failed
  64  the command line is wrong
  65  the configuration file is faulty: every fault is named with its line
  66  the configuration file is not there, or can't be read
  77  it takes root; or the control plane refused this gateway`;

export type ServerCall =
  | { readonly kind: 'help' | 'version' }
  | { readonly kind: 'run'; readonly configuration: Configuration; readonly json: boolean };

const OPTIONS = {
  data: { type: 'string' },
  listen: { type: 'string', multiple: true },
  'gateway-port': { type: 'string' },
  'no-gateway': { type: 'boolean' },
  config: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'V' },
} as const;

/** Throws {@link UsageError} and ConfigurationError. `more` are keys that the caller sets. */
export function parseServerArguments(argv: readonly string[], more: readonly Override[] = []): ServerCall {
  const values = parseOptions(argv);
  if (values.help === true) return { kind: 'help' };
  if (values.version === true) return { kind: 'version' };
  const overrides: Override[] = [...more];
  if (values.data !== undefined) overrides.push({ path: ['data'], value: resolve(values.data), option: '--data' });
  if (values.listen !== undefined)
    overrides.push({ path: ['web', 'listen'], value: values.listen, option: '--listen' });
  const port = values['gateway-port'];
  if (port !== undefined) {
    const value = /^\d+$/.test(port) ? Number(port) : port;
    overrides.push({ path: ['gateway', 'listen_port'], value, option: '--gateway-port' });
  }
  if (values['no-gateway'] === true) {
    overrides.push({ path: ['gateway', 'enabled'], value: false, option: '--no-gateway' });
  }
  const configuration = readConfigurationFile(absolute(values.config), overrides);
  return { kind: 'run', configuration, json: values.json === true };
}

function absolute(path: string | undefined): string | undefined {
  return path === undefined || isAbsolute(path) ? path : resolve(path);
}

function parseOptions(argv: readonly string[]) {
  try {
    return parseArgs({ args: [...argv], options: OPTIONS, strict: true }).values;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ERR_PARSE_ARGS_UNKNOWN_OPTION') {
      const wrong = /'(-[^' ]*)'/.exec(message)?.[1] ?? '';
      const meant = suggest(wrong.replace(/^-+/, ''), Object.keys(OPTIONS));
      throw new UsageError(
        `unknown option ${wrong}; ${meant === undefined ? 'see --help' : `did you mean --${meant}?`}`,
      );
    }
    const [first = ''] = message.split('. ');
    throw new UsageError(`${first.charAt(0).toLowerCase()}${first.slice(1)}; see --help`);
  }
}
