/** The fields of a contract's path, query and body as options and positional arguments of a command. */
import type { RouteContract } from '@sallyport/api';
import { z } from 'zod';
import { CommandFailure, EXIT_USAGE } from '../command.ts';

/** One field that a command line can give. */
export interface Field {
  /** As an option: `--display-name`; nested fields are joined: `--dns-servers`. */
  readonly option: string;
  /** Where it goes in the request: `['dns', 'servers']`. */
  readonly path: readonly string[];
  readonly place: 'params' | 'query' | 'body';
  readonly required: boolean;
  readonly kind: 'text' | 'number' | 'switch' | 'list' | 'json';
  readonly nullable: boolean;
  /** For lists: what the items are; for text: what it may be. */
  readonly choices: readonly string[];
  readonly description: string;
  /** Read from the terminal without an echo, or from the standard input, never from the command line. */
  readonly secret: boolean;
}

interface JsonSchema {
  readonly type?: string | readonly string[];
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly anyOf?: readonly JsonSchema[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly description?: string;
  readonly default?: unknown;
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, JsonSchema>>;
}

const SECRET = /^(password|currentPassword|newPassword|token|clientSecret)$/;

export function fieldsOf(contract: RouteContract): Field[] {
  const fields: Field[] = [];
  for (const place of ['params', 'query', 'body'] as const) {
    const schema = contract[place];
    if (schema === undefined) continue;
    const json = z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any', reused: 'inline' }) as JsonSchema;
    collect(place, [], resolved(json, json.$defs ?? {}), true, fields);
  }
  return fields;
}

/** The schema with its references followed. */
function resolved(schema: JsonSchema, definitions: Readonly<Record<string, JsonSchema>>): JsonSchema {
  const name = schema.$ref?.split('/').at(-1);
  if (name !== undefined) {
    const { $ref: _, ...own } = schema;
    return resolved({ ...definitions[name], ...own }, definitions);
  }
  const each = (one: JsonSchema): JsonSchema => resolved(one, definitions);
  return {
    ...schema,
    ...(schema.items === undefined ? {} : { items: each(schema.items) }),
    ...(schema.anyOf === undefined ? {} : { anyOf: schema.anyOf.map(each) }),
    ...(schema.properties === undefined
      ? {}
      : { properties: Object.fromEntries(Object.entries(schema.properties).map(([key, one]) => [key, each(one)])) }),
  };
}

function collect(place: Field['place'], path: string[], schema: JsonSchema, required: boolean, into: Field[]): void {
  const { core, nullable } = withoutNull(schema);
  if (core.type === 'object' && core.properties !== undefined) {
    for (const [name, inner] of Object.entries(core.properties))
      collect(place, [...path, name], inner, required && (core.required?.includes(name) ?? false), into);
    return;
  }
  const name = path.at(-1) ?? '';
  const secret = place === 'body' && SECRET.test(name);
  into.push({
    option: path.map(kebab).join('-'),
    path,
    place,
    // Asked for, too, where an empty answer stands for none.
    required: required || (secret && schema.default === ''),
    kind: kindOf(core),
    nullable,
    choices: choicesOf(core.type === 'array' ? (core.items ?? {}) : core),
    description: schema.description ?? core.description ?? '',
    secret,
  });
}

function withoutNull(schema: JsonSchema): { core: JsonSchema; nullable: boolean } {
  const others = schema.anyOf?.filter(({ type }) => type !== 'null');
  if (others === undefined) return { core: schema, nullable: false };
  const nullable = others.length < (schema.anyOf?.length ?? 0);
  return {
    core: others.length === 1 ? (others[0] ?? schema) : { ...schema, type: others[0]?.type ?? 'string' },
    nullable,
  };
}

function kindOf({ type, items }: JsonSchema): Field['kind'] {
  if (type === 'boolean') return 'switch';
  if (type === 'number' || type === 'integer') return 'number';
  if (type === 'array') return withoutNull(items ?? {}).core.type === 'object' ? 'json' : 'list';
  return type === undefined || type === 'object' ? 'json' : 'text';
}

function choicesOf(schema: JsonSchema): readonly string[] {
  return (schema.enum ?? []).filter((choice) => typeof choice === 'string');
}

function kebab(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** What the words given for a field mean. `none` is null where the field can be; lists take commas and repetition. */
export function valueOf(field: Field, words: readonly string[]): unknown {
  const [first = ''] = words;
  if (field.nullable && words.length === 1 && first === 'none') return null;
  switch (field.kind) {
    case 'switch':
      if (first === '' || first === 'true' || first === 'yes' || first === 'on') return true;
      if (first === 'false' || first === 'no' || first === 'off') return false;
      throw fault(field, `takes true or false, not "${first}"`);
    case 'number': {
      const value = Number(first);
      if (first.trim() === '' || !Number.isFinite(value)) throw fault(field, `takes a number, not "${first}"`);
      return value;
    }
    case 'list':
      return words.flatMap((word) => word.split(',')).filter((word) => word !== '');
    case 'json':
      if (isServices(field) && !first.trimStart().startsWith('[')) return servicesOf(field, words);
      try {
        return JSON.parse(first) as unknown;
      } catch {
        throw fault(field, 'takes JSON');
      }
    case 'text':
      if (field.choices.length > 0 && !field.choices.includes(first))
        throw fault(field, `takes one of ${field.choices.join(', ')}, not "${first}"`);
      return first;
  }
}

/** Whether it can be written for people, see {@link servicesOf}. */
export function isServices({ path }: Field): boolean {
  return path.at(-1) === 'services';
}

/** `tcp/443,8443 udp/53 icmp`: protocols, each with its ports. */
function servicesOf(field: Field, words: readonly string[]): unknown {
  return words
    .flatMap((word) => word.split(/\s+/))
    .filter((word) => word !== '')
    .map((word) => {
      const match = /^([a-z]+)(?:\/(\d[\d,-]*))?$/.exec(word);
      if (match === null)
        throw fault(field, `takes protocols with ports, such as tcp/443,8000-8100 or icmp, not "${word}"`);
      return { protocol: match[1], ports: match[2]?.split(',') ?? [] };
    });
}

function fault(field: Field, what: string): CommandFailure {
  return new CommandFailure(EXIT_USAGE, `--${field.option} ${what}`);
}

/** Puts values at their places: `{ params, query, body }`. */
export function requestOf(values: ReadonlyMap<Field, unknown>): {
  params: Record<string, unknown>;
  query: Record<string, unknown>;
  body: Record<string, unknown>;
} {
  const request = { params: {}, query: {}, body: {} };
  for (const [field, value] of values) {
    let at: Record<string, unknown> = request[field.place];
    for (const name of field.path.slice(0, -1)) at = at[name] = (at[name] ?? {}) as Record<string, unknown>;
    at[field.path.at(-1) ?? ''] = value;
  }
  return request;
}
