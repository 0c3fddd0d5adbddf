/** sallyport(1) in the macros of man(7), made of what the commands say of themselves. */
import { EXIT_CODES } from '../command.ts';
import type { CommandText } from './option-table.ts';

const FILES = [
  ['/run/sallyport-client/socket', 'where commands speak to the client’s daemon; for root and the group sallyport'],
  ['/var/lib/sallyport-client', 'what the client’s daemon keeps; for root alone'],
  ['~/.config/sallyport/credentials.json', 'the session of "sallyport login --user"'],
  ['/etc/sallyport/sallyport.toml', 'the configuration of a server or gateway'],
] as const;

const ENVIRONMENT = [
  ['SALLYPORT_URL, SALLYPORT_TOKEN_FILE', 'the service, and a file with an API token, instead of a login'],
  ['SALLYPORT_CLIENT_SOCKET', 'the daemon’s socket, where it is another one'],
  ['NO_COLOR', 'no colours'],
] as const;

/** Text that begins no macro and holds no escape. */
export function roff(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .replaceAll('…', '...')
    .replace(/^([.'])/gm, '\\&$1');
}

export function manPage(commands: readonly CommandText[], version: string): string {
  const lines = [
    `.TH SALLYPORT 1 "" "Sallyport ${roff(version)}" "User Commands"`,
    '.SH NAME',
    'sallyport \\- connect to, administer and run a Sallyport VPN',
    '.SH SYNOPSIS',
    '.B sallyport',
    '.I COMMAND',
    '.RI [ OPTION ...]',
    '.RI [ ARGUMENT ...]',
    '.SH DESCRIPTION',
    roff(
      'One program for everything: the client that connects this machine ("login", "connect", "status", …), the commands that administer a service, the service itself ("server", "gateway join"), and plain WireGuard ("wg up").',
    ),
    '.PP',
    roff(
      'Answers go to the standard output, words to people to the standard error; --json has the output as JSON. Options may stand anywhere after the command.',
    ),
    '.SH COMMANDS',
    ...commands.flatMap(commandLines),
    '.SH EXIT STATUS',
    ...EXIT_CODES.split('\n')
      .slice(1)
      .flatMap((line) => {
        const [, code = '', text = ''] = /^ {2}(\d+) +(.*)$/.exec(line) ?? [];
        return ['.TP', `.B ${code}`, roff(text)];
      }),
    '.SH ENVIRONMENT',
    ...ENVIRONMENT.flatMap(tagged),
    '.SH FILES',
    ...FILES.flatMap(tagged),
    '.SH SEE ALSO',
    '.BR wg (8),',
    '.BR systemd\\-resolved (8)',
  ];
  return `${lines.join('\n')}\n`;
}

function tagged([term, text]: readonly [string, string]): string[] {
  return ['.TP', `.B ${roff(term)}`, roff(text)];
}

function commandLines({ name, usage, description, options, lists, examples }: CommandText): string[] {
  return [
    `.SS ${roff(`sallyport ${name} ${usage}`.trimEnd())}`,
    ...description.flatMap((paragraph, i) => (i === 0 ? [roff(paragraph)] : ['.PP', roff(paragraph)])),
    ...options.flatMap(({ name: option, value, text }) => [
      '.TP',
      value === undefined
        ? `.B \\-\\-${roff(option)}`
        : `.BI \\-\\-${roff(option)} " ${roff(value).replaceAll('"', '\\(dq')}"`,
      roff(text),
    ]),
    ...lists.flatMap(({ title, lines }) => ['.PP', roff(`${title}:`), '.PP', '.nf', ...lines.map(roff), '.fi']),
    ...(examples.length === 0 ? [] : ['.PP', 'Examples:', '.PP', '.nf', '.RS', ...examples.map(roff), '.RE', '.fi']),
  ];
}
