import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import type { Command } from './command.ts';
import { CommandFailure, EXIT_CODES, EXIT_FAILED, EXIT_USAGE, FileFaults } from './command.ts';
import { suggest } from './suggest.ts';

// Commands are loaded when they are called: `sallyport genkey` needs no interface, `wg device` needs all there is.
const COMMANDS: readonly { readonly name: string; readonly load: () => Promise<Command> }[] = [
  { name: 'wg up', load: async () => (await import('./commands/wg-up.ts')).wgUp },
  { name: 'wg down', load: async () => (await import('./commands/wg-down.ts')).wgDown },
  { name: 'wg status', load: async () => (await import('./commands/wg-status.ts')).wgStatus },
  { name: 'wg device', load: async () => (await import('./commands/wg-device.ts')).wgDevice },
  { name: 'genkey', load: async () => (await import('./commands/keys.ts')).genkey },
  { name: 'pubkey', load: async () => (await import('./commands/keys.ts')).pubkey },
  { name: 'genpsk', load: async () => (await import('./commands/keys.ts')).genpsk },
];
const GROUPS = ['wg'];
const SHORT: Readonly<Record<string, string>> = { f: 'foreground', h: 'help', V: 'version' };

async function main(argv: readonly string[]): Promise<number> {
  const [first = '--help', second] = argv;
  if (first === '--version' || first === '-V' || first === 'version') return print(`sallyport ${version()}`);
  if (first === '--help' || first === '-h' || first === 'help') {
    const topic = first === 'help' ? argv.slice(1) : [];
    const text = topic.length > 0 ? await helpOn(topic) : await overview();
    if (argv.length > 0) return print(text);
    process.stderr.write(`${text}\n`);
    return EXIT_USAGE;
  }
  if (GROUPS.includes(first) && (second === undefined || second === '--help' || second === '-h')) {
    const text = await overview(first);
    if (second !== undefined) return print(text);
    process.stderr.write(`${text}\n`);
    return EXIT_USAGE;
  }
  const words = GROUPS.includes(first) ? 2 : 1;
  const command = await find(argv.slice(0, words));
  return call(command, argv.slice(words));
}

async function call(command: Command, argv: readonly string[]): Promise<number> {
  const known = [...command.options, 'help'];
  const { tokens } = parseArgs({ args: [...argv], strict: false, tokens: true, allowPositionals: true });
  const values: string[] = [];
  const options = new Set<string>();
  for (const token of tokens) {
    if (token.kind === 'positional') values.push(token.value);
    if (token.kind !== 'option') continue;
    const name = token.rawName.startsWith('--') ? token.name : (SHORT[token.name] ?? token.name);
    if (!known.includes(name)) {
      throw usageFault(command, `unknown option ${token.rawName}`, suggest(name, known), '--');
    }
    if (token.value !== undefined) throw usageFault(command, `the option ${token.rawName} takes no value`);
    options.add(name);
  }
  if (options.has('help')) return print(helpText(command));
  const [least, most] = command.arguments;
  if (values.length < least) throw usageFault(command, 'an argument is missing');
  if (values.length > most) throw usageFault(command, `one argument too many: "${values[most] ?? ''}"`);
  return command.run(values, options);
}

async function find(words: readonly string[]): Promise<Command> {
  const name = words.join(' ');
  const found = COMMANDS.find((command) => command.name === name);
  if (found !== undefined) return found.load();
  const option = name.startsWith('-');
  const meant = suggest(name, option ? ['--help', '--version'] : COMMANDS.map((command) => command.name));
  const remedy = meant === undefined ? 'see: sallyport --help' : `did you mean "sallyport ${meant}"?`;
  throw new CommandFailure(EXIT_USAGE, `unknown ${option ? 'option' : 'command'} "${name}"; ${remedy}`);
}

function usageFault(command: Command, fault: string, meant?: string, prefix = ''): CommandFailure {
  const remedy = meant === undefined ? '' : `; did you mean ${prefix}${meant}?`;
  return new CommandFailure(EXIT_USAGE, `${fault}${remedy}\nUsage: ${usage(command)}`);
}

function usage(command: Command): string {
  return `sallyport ${command.name} ${command.usage}`.trimEnd();
}

function helpText(command: Command): string {
  return `Usage: ${usage(command)}\n\n${command.help}\n\n${EXIT_CODES}`;
}

async function helpOn(topic: readonly string[]): Promise<string> {
  const [group = ''] = topic;
  return topic.length === 1 && GROUPS.includes(group) ? overview(group) : helpText(await find(topic));
}

/** All commands, or those of a group. */
async function overview(group?: string): Promise<string> {
  const wanted = COMMANDS.filter(({ name }) => group === undefined || name.startsWith(`${group} `));
  const commands = await Promise.all(wanted.map(({ load }) => load()));
  const width = Math.max(...commands.map(({ name }) => name.length));
  const list = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n');
  return `Usage: sallyport ${group === undefined ? '' : `${group} `}COMMAND [OPTION...] [ARGUMENT...]

Commands:
${list}

"sallyport help COMMAND" tells more about one, with examples; "sallyport --version" prints the version.

${EXIT_CODES}`;
}

function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return (manifest as { version: string }).version;
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}

// Whoever reads the output may stop early: `sallyport --help | head`.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  process.exit(error.code === 'EPIPE' ? 0 : EXIT_FAILED);
});

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  const detail = error instanceof Error ? error.message : String(error);
  process.stderr.write(`${error instanceof FileFaults ? '' : 'sallyport: '}${detail}\n`);
  process.exitCode = error instanceof CommandFailure ? error.exitCode : EXIT_FAILED;
}
