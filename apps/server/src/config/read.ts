import { readFileSync } from 'node:fs';
import { parse, TomlError } from 'smol-toml';
import { z } from 'zod';
import { locate } from './locate.ts';
import { configurationSchema, crossFaults, type Configuration } from './schema.ts';
import { suggest } from '@sallyport/core';

export const DEFAULT_FILE = '/etc/sallyport/sallyport.toml';

/** A configuration can't be used. `faults` has a line each, for people: place, key, what is wrong; the remedy. */
export class ConfigurationError extends Error {
  readonly code: 'faulty' | 'unreadable';
  readonly faults: readonly string[];

  constructor(code: ConfigurationError['code'], faults: readonly string[], options?: ErrorOptions) {
    super(faults.join('\n'), options);
    this.name = 'ConfigurationError';
    this.code = code;
    this.faults = faults;
  }
}

/** A key that the command line sets: `option` is how it is called there. */
export interface Override {
  readonly path: readonly string[];
  readonly value: unknown;
  readonly option: string;
}

/**
 * Reads a configuration file; without a name {@link DEFAULT_FILE}, which need not be there. Throws
 * {@link ConfigurationError}.
 */
export function readConfigurationFile(file: string | undefined, overrides: readonly Override[] = []): Configuration {
  const name = file ?? DEFAULT_FILE;
  let text = '';
  try {
    text = readFileSync(name, 'utf8');
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (file !== undefined || code !== 'ENOENT') {
      const remedy = code === 'ENOENT' ? 'there is no such file; name another or leave --config away' : message;
      throw new ConfigurationError('unreadable', [`${name}: ${remedy}`], { cause: error });
    }
  }
  return parseConfiguration(text, name, overrides);
}

/** Checks the text of a configuration file. `name` is what faults call it. Throws {@link ConfigurationError}. */
export function parseConfiguration(text: string, name: string, overrides: readonly Override[] = []): Configuration {
  let tree: Tree;
  try {
    tree = parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const [what = ''] = error.message.replace('Invalid TOML document: ', '').split('\n');
    const remedy = 'text needs quotes, a key stands once, lists are in []';
    throw new ConfigurationError('faulty', [`${name}:${String(error.line)}: this is not TOML: ${what}; ${remedy}`], {
      cause: error,
    });
  }
  for (const { path, value } of overrides) setAt(tree, path, value);

  const faults: { line: number; text: string }[] = [];
  const fault = (path: readonly string[], message: string): void => {
    const override = overrides.find((candidate) => candidate.path.join('.') === path.join('.'));
    const line = override === undefined ? locate(text, path) : undefined;
    const place = override?.option ?? (line === undefined ? name : `${name}:${String(line)}`);
    const key = override === undefined ? `${path.join('.')}: ` : '';
    faults.push({ line: line ?? 0, text: `${place}: ${key}${message}` });
  };
  const checked = check(configurationSchema, tree, [], fault);
  const at = (...path: string[]): unknown =>
    path.reduce<unknown>((node, key) => (isTable(node) ? node[key] : undefined), checked);
  for (const { path, message } of crossFaults(at)) fault(path, message);
  if (faults.length > 0) {
    faults.sort((a, b) => a.line - b.line);
    throw new ConfigurationError(
      'faulty',
      faults.map((one) => one.text),
    );
  }
  return camelize(checked) as Configuration;
}

type Tree = Record<string, unknown>;

function isTable(node: unknown): node is Tree {
  return typeof node === 'object' && node !== null && !Array.isArray(node) && !(node instanceof Date);
}

/** Checks each key by itself, so that no fault hides another, and fills in what is absent. */
function check(
  schema: z.ZodObject,
  node: Tree,
  path: readonly string[],
  fault: (path: readonly string[], message: string) => void,
): Tree {
  const shape = schema.shape as Readonly<Record<string, z.ZodType>>;
  const known = Object.keys(shape);
  for (const key of Object.keys(node)) {
    if (Object.hasOwn(shape, key)) continue;
    const meant = suggest(key, known);
    const remedy = meant === undefined ? `known are: ${known.join(', ')}` : `did you mean "${meant}"?`;
    fault([...path, key], `unknown key; ${remedy}`);
  }
  const result: Tree = {};
  for (const [key, inner] of Object.entries(shape)) {
    const here = [...path, key];
    const value = Object.hasOwn(node, key) ? node[key] : undefined;
    if (inner instanceof z.ZodObject) {
      if (value !== undefined && !isTable(value)) fault(here, `this is a table; write [${here.join('.')}]`);
      else result[key] = check(inner, value ?? {}, here, fault);
      continue;
    }
    const outcome = inner.safeParse(value);
    if (outcome.success) result[key] = outcome.data;
    else for (const message of new Set(outcome.error.issues.map(remedyOf))) fault(here, message);
  }
  return result;
}

/** Of the ways that a union offers, the last is the one that says how to write it. */
function remedyOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_union') return issue.message;
  const inner = issue.errors.at(-1)?.[0];
  return inner === undefined ? issue.message : remedyOf(inner);
}

function setAt(tree: Tree, path: readonly string[], value: unknown): void {
  const [key = '', ...rest] = path;
  if (rest.length === 0) {
    tree[key] = value;
    return;
  }
  const inner = (tree[key] ??= {});
  // Where a table is no table, that is the fault to name.
  if (isTable(inner)) setAt(inner, rest, value);
}

function camelize(node: unknown): unknown {
  if (Array.isArray(node)) return Object.freeze(node.map(camelize));
  if (!isTable(node)) return node;
  const entries = Object.entries(node).map(([key, value]) => [
    key.replace(/_([a-z])/g, (_match, letter: string) => letter.toUpperCase()),
    camelize(value),
  ]);
  return Object.freeze(Object.fromEntries(entries) as object);
}
