/** A command for each route that offers one: options and help from its contract, output as a table or JSON. */
import { readFileSync } from 'node:fs';
import type { CommandContract, RouteContract } from '@sallyport/api';
import type { Command, OptionValues } from '../command.ts';
import { CommandFailure, EXIT_BAD_INPUT, EXIT_NO_INPUT, EXIT_USAGE } from '../command.ts';
import { connect, type Connection } from './connection.ts';
import { fieldsOf, isServices, requestOf, valueOf, type Field } from './fields.ts';
import { withNames } from './names.ts';
import { readPages } from './pages.ts';
import { closeInput, askSecret } from './prompt.ts';
import { record, table } from './table.ts';

/** Query fields of lists that come in pages, which the command takes care of itself. */
const PAGING = ['after', 'limit'];

export function serviceCommand(contract: RouteContract, all: readonly RouteContract[]): Command {
  const { command } = contract;
  if (command === undefined) throw new Error(`the route ${contract.id} offers no command`);
  const isList = command.columns !== undefined;
  const isPaging = ({ place, option }: Field): boolean => isList && place === 'query' && PAGING.includes(option);
  const allFields = fieldsOf(contract);
  const fields = allFields.filter((field) => !isPaging(field));
  const hasPages = allFields.some(isPaging);
  const positional = (command.positional ?? []).map((name) => {
    const field = fields.find(({ path }) => path.join('.') === name);
    if (field === undefined) throw new Error(`the command "${command.name}" has no field "${name}"`);
    return field;
  });
  const optional = fields.filter((field) => !positional.includes(field) && !field.secret);
  // Each a switch, which has it asked for: its value never stands in a command line.
  const secrets = fields.filter((field) => field.secret && !field.required);
  const required = positional.filter((field) => field.required).length;
  return {
    name: command.name,
    usage: usage(positional, optional),
    summary: contract.summary.charAt(0).toLowerCase() + contract.summary.slice(1),
    help: help(contract, positional, optional, secrets),
    options: ['json', ...secrets.map(({ option }) => option)],
    valued: [...optional.map(({ option }) => option), ...(contract.body === undefined ? [] : ['file'])],
    arguments: [required, positional.at(-1)?.kind === 'list' ? Infinity : positional.length],
    async run(words, options, values) {
      const given = await readFields(positional, optional, fields, words, options, values);
      const connection = await connect();
      const request = requestOf(given);
      const file = values.get('file')?.at(-1);
      if (file !== undefined) request.body = { ...readBody(file), ...request.body };
      const answer = hasPages
        ? { items: await readPages(connection, contract, request) }
        : await connection.call(contract, {
            ...request,
            ifMatch: await currentVersion(connection, contract, all, request),
          });
      const json = options.has('json');
      print(json ? answer : await withNames(connection, answer), json, command);
      return 0;
    },
  };
}

function usage(positional: readonly Field[], optional: readonly Field[]): string {
  const required = optional.filter((field) => field.required).map((field) => `--${field.option} ${placeholder(field)}`);
  const words = positional.map((field) => {
    const name = wordOf(field) + (field.kind === 'list' ? '...' : '');
    return field.required ? name : `[${name}]`;
  });
  return [...words, ...required, '[OPTION...]'].join(' ');
}

function help(
  { summary, command, permission, body }: RouteContract,
  positional: readonly Field[],
  optional: readonly Field[],
  secrets: readonly Field[],
): string {
  const rows: [string, string][] = optional.map((field) => [
    `--${field.option} ${placeholder(field)}`,
    describe(field),
  ]);
  for (const { option } of secrets) rows.push([`--${option}`, 'ask for it, or read it from the standard input']);
  if (body !== undefined)
    rows.push(['--file FILE', 'take the fields from a file with a JSON object; "-" is the standard input']);
  rows.push(['--json', 'print JSON']);
  const width = Math.max(...rows.map(([left]) => left.length));
  const described = positional.filter(({ description }) => description !== '');
  return [
    `${summary}.`,
    ...(permission === 'public' || permission === 'self' || permission === 'enrol'
      ? []
      : [`Needs the permission ${permission}.`]),
    ...described.map((field) => `${wordOf(field)}: ${field.description}`),
    '\nOptions:',
    ...rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`.trimEnd()),
    '\nExamples:',
    ...(command?.examples ?? []).map((example) => `  ${example}`),
  ].join('\n');
}

/** A positional argument as usage names it. */
function wordOf({ option }: Field): string {
  return option.replace(/-id$/, '').toUpperCase();
}

function placeholder(field: Field): string {
  if (field.choices.length > 0 && field.kind !== 'list') return field.choices.join('|');
  if (isServices(field)) return '"tcp/443,8000-8100 udp/53"';
  if (field.kind === 'switch') return 'true|false';
  return { number: 'NUMBER', list: 'A,B,...', json: 'JSON', text: 'TEXT' }[field.kind];
}

function describe(field: Field): string {
  const nullable = field.nullable ? '"none" takes it away' : '';
  const choices = field.kind === 'list' ? field.choices.join(', ') : '';
  const parts = [field.description, field.required ? 'required' : '', nullable, choices];
  return parts.filter((part) => part !== '').join('; ');
}

/** A body as JSON, from a file or, for `-`, the standard input. */
function readBody(file: string): Record<string, unknown> {
  let text: string;
  try {
    text = readFileSync(file === '-' ? 0 : file, 'utf8');
  } catch (error) {
    throw new CommandFailure(EXIT_NO_INPUT, `${file} can't be read: ${(error as Error).message}`, { cause: error });
  }
  try {
    const parsed: unknown = JSON.parse(text);
    if (typeof parsed === 'object' && parsed !== null && !Array.isArray(parsed))
      return parsed as Record<string, unknown>;
  } catch (error) {
    throw new CommandFailure(EXIT_BAD_INPUT, `${file}: ${(error as Error).message}`, { cause: error });
  }
  throw new CommandFailure(EXIT_BAD_INPUT, `${file}: expected one JSON object`);
}

async function readFields(
  positional: readonly Field[],
  optional: readonly Field[],
  all: readonly Field[],
  words: readonly string[],
  options: ReadonlySet<string>,
  values: OptionValues,
): Promise<Map<Field, unknown>> {
  const given = new Map<Field, unknown>();
  positional.forEach((field, i) => {
    const isRest = i === positional.length - 1 && field.kind === 'list';
    const taken = isRest ? words.slice(i) : words.slice(i, i + 1);
    if (taken.length > 0) given.set(field, valueOf(field, taken));
  });
  for (const field of optional) {
    const taken = values.get(field.option);
    if (taken !== undefined) given.set(field, valueOf(field, taken));
    else if (field.required && !values.has('file'))
      throw new CommandFailure(EXIT_USAGE, `--${field.option} ${placeholder(field)} is required`);
  }
  for (const field of all)
    if (field.secret && (field.required || options.has(field.option)) && !given.has(field))
      given.set(field, await askSecret(questionOf(field)));
  closeInput();
  return given;
}

function questionOf(field: Field): string {
  const words = field.option.replaceAll('-', ' ');
  return words.charAt(0).toUpperCase() + words.slice(1);
}

type Request = ReturnType<typeof requestOf>;

/** The version of what is about to be changed, so that a change in between is noticed. */
async function currentVersion(
  connection: Connection,
  contract: RouteContract,
  all: readonly RouteContract[],
  request: Request,
): Promise<number | undefined> {
  if (contract.versioned !== true || contract.method === 'GET' || contract.method === 'POST') return undefined;
  const reader = all.find(({ method, path }) => method === 'GET' && path === contract.path);
  if (reader === undefined) return undefined;
  const current = (await connection.call(reader, { params: request.params, query: {}, body: {} })) as {
    version?: number;
  };
  return current.version;
}

function print(answer: unknown, json: boolean, { columns, onlyJson = [] }: CommandContract): void {
  if (typeof answer === 'string') process.stdout.write(answer === '' || answer.endsWith('\n') ? answer : `${answer}\n`);
  else if (json) process.stdout.write(`${JSON.stringify(answer ?? {}, undefined, 2)}\n`);
  else if (columns !== undefined) {
    const { items } = answer as { items: Record<string, unknown>[] };
    process.stdout.write(`${items.length === 0 ? 'none' : table(columns, items)}\n`);
  } else if (typeof answer === 'object' && answer !== null) {
    const shown = Object.entries(answer).filter(([name]) => !onlyJson.includes(name));
    process.stdout.write(`${record(Object.fromEntries(shown))}\n`);
  } else process.stderr.write('done\n');
}
