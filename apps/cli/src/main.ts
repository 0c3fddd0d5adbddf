import { parseArgs } from 'node:util';
import type { Command } from './command.ts';
import { CommandFailure, EXIT_CODES, EXIT_FAILED, EXIT_USAGE, FileFaults } from './command.ts';
import { allCommands, commandsFor, loadAll, version, type Entry } from './command-list.ts';
import { printableLines } from './client/terminal.ts';
import { suggest } from '@sallyport/core';

const SHORT: Readonly<Record<string, string>> = { f: 'foreground', h: 'help', V: 'version' };

async function main(argv: readonly string[]): Promise<number> {
  const [first = '--help'] = argv;
  if (first === '--version' || first === '-V' || first === 'version') return print(`sallyport ${version()}`);
  if (first === '--help' || first === '-h' || first === 'help') {
    const topic = first === 'help' ? argv.slice(1) : [];
    const text = topic.length > 0 ? await helpOn(topic) : overview(await allCommands().then(loadAll));
    if (argv.length > 0) return print(text);
    process.stderr.write(`${text}\n`);
    return EXIT_USAGE;
  }
  const commands = await commandsFor(first);
  const words = wordsOf(commands, argv);
  const name = argv.slice(0, words).join(' ');
  const group = commands.filter((command) => command.name.startsWith(`${name} `));
  const next = argv[words];
  if (!isCommand(commands, name) && group.length > 0 && (next === undefined || next === '--help' || next === '-h')) {
    const text = overview(await loadAll(group), name);
    if (next !== undefined) return print(text);
    process.stderr.write(`${text}\n`);
    return EXIT_USAGE;
  }
  const command = await find(commands, isCommand(commands, name) ? argv.slice(0, words) : argv.slice(0, words + 1));
  return call(command, argv.slice(words));
}

/** How many of the first words name a command, or the beginning of some. */
function wordsOf(commands: readonly Entry[], argv: readonly string[]): number {
  let words = 0;
  while (words < argv.length) {
    const name = argv.slice(0, words + 1).join(' ');
    if (!commands.some((command) => command.name === name || command.name.startsWith(`${name} `))) break;
    words++;
  }
  return words;
}

async function call(command: Command, argv: readonly string[]): Promise<number> {
  if (command.runWords !== undefined) return command.runWords(argv);
  const valued = command.valued ?? [];
  const known = [...command.options, ...valued, 'help'];
  const { tokens } = parseArgs({
    args: [...argv],
    strict: false,
    tokens: true,
    allowPositionals: true,
    options: Object.fromEntries(valued.map((name) => [name, { type: 'string' as const, multiple: true }])),
  });
  const words: string[] = [];
  const options = new Set<string>();
  const values = new Map<string, string[]>();
  for (const token of tokens) {
    if (token.kind === 'positional') words.push(token.value);
    if (token.kind !== 'option') continue;
    const name = token.rawName.startsWith('--') ? token.name : (SHORT[token.name] ?? token.name);
    if (!known.includes(name)) {
      throw usageFault(command, `unknown option ${token.rawName}`, suggest(name, known), '--');
    }
    if (valued.includes(name)) {
      if (token.value === undefined) throw usageFault(command, `the option ${token.rawName} needs a value`);
      values.set(name, [...(values.get(name) ?? []), token.value]);
    } else {
      if (token.value !== undefined) throw usageFault(command, `the option ${token.rawName} takes no value`);
      options.add(name);
    }
  }
  if (options.has('help')) return print(helpText(command));
  const [least, most] = command.arguments;
  if (words.length < least) throw usageFault(command, 'an argument is missing');
  if (words.length > most) throw usageFault(command, `one argument too many: "${words[most] ?? ''}"`);
  return command.run(words, options, values);
}

function isCommand(commands: readonly Entry[], words: string): boolean {
  return commands.some(({ name }) => name === words);
}

async function find(commands: readonly Entry[], words: readonly string[]): Promise<Command> {
  const name = words.join(' ');
  const found = commands.find((command) => command.name === name);
  if (found !== undefined) return found.load();
  const option = name.startsWith('-');
  const meant = suggest(name, option ? ['--help', '--version'] : (await allCommands()).map((command) => command.name));
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
  if (command.runWords !== undefined) return command.help;
  return `Usage: ${usage(command)}\n\n${command.help}\n\n${EXIT_CODES}`;
}

async function helpOn(topic: readonly string[]): Promise<string> {
  const commands = await allCommands();
  const name = topic.join(' ');
  const group = commands.filter((command) => command.name.startsWith(`${name} `));
  if (group.length > 0 && !isCommand(commands, name)) return overview(await loadAll(group), name);
  return helpText(await find(commands, topic));
}

/** A list of commands: of all, or of those that begin with a word. */
function overview(commands: readonly Command[], group?: string): string {
  const width = Math.max(...commands.map(({ name }) => name.length));
  const list = commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n');
  return `Usage: sallyport ${group === undefined ? '' : `${group} `}COMMAND [OPTION...] [ARGUMENT...]

Commands:
${list}

"sallyport help COMMAND" tells more about one, with examples; "sallyport --version" prints the version.

${EXIT_CODES}`;
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
  // Services have a say in it.
  process.stderr.write(`${error instanceof FileFaults ? '' : 'sallyport: '}${printableLines(detail)}\n`);
  process.exitCode = error instanceof CommandFailure ? error.exitCode : EXIT_FAILED;
}
