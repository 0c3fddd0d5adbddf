/** PATCH (RFC 7644, 3.5.2), with what Entra ID and Okta send beside the letter of it. Nothing here changes what is given. */
import { isDeepStrictEqual } from 'node:util';
import {
  attributeNamed,
  attributesOfPath,
  isObject,
  type Attribute,
  type ResourceSchema,
  type Values,
} from './attributes.ts';
import { invalidValue, ScimFault } from './fault.ts';
import { parsePath, type Filter, type PatchPath } from './filter.ts';
import { valueMatcherOf } from './matching.ts';
import { isPrimary, readOne, readValue, requireComplete, requireOnePrimary, requireSchema } from './resource.ts';

export const PATCH_URN = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';

/** Operations of one request. */
export const MAX_OPERATIONS = 1000;

type Op = 'add' | 'replace' | 'remove';

/** What a resource becomes by a request: all of its operations or none. Throws a ScimFault. */
export function patched(schema: ResourceSchema, resource: Values, body: unknown): Values {
  if (!isObject(body)) throw new ScimFault(400, 'invalidSyntax', 'The body must be a JSON object.');
  requireSchema(body, PATCH_URN);
  const operations = field(body, 'operations');
  if (!Array.isArray(operations) || operations.length === 0) {
    throw new ScimFault(400, 'invalidSyntax', 'The field Operations must be a list with one operation at least.');
  }
  if (operations.length > MAX_OPERATIONS) {
    throw new ScimFault(400, 'invalidValue', `A request can have ${MAX_OPERATIONS} operations at most.`);
  }
  const result = (operations as unknown[]).reduce<Values>((before, operation) => {
    if (!isObject(operation)) throw new ScimFault(400, 'invalidSyntax', 'An operation must be a JSON object.');
    return applied(schema, before, operation);
  }, resource);
  // What is required can't be removed (3.5.2.2).
  requireComplete(schema, result, 'mutability');
  return result;
}

/** Names of fields are the same in capital letters and small ones. */
function field(object: Values, name: string): unknown {
  return Object.entries(object).find(([key]) => key.toLowerCase() === name)?.[1];
}

function applied(schema: ResourceSchema, resource: Values, operation: Values): Values {
  const word = field(operation, 'op');
  const op = (['add', 'replace', 'remove'] as const).find(
    (known) => typeof word === 'string' && word.toLowerCase() === known,
  );
  if (op === undefined) throw new ScimFault(400, 'invalidSyntax', 'An operation must be add, replace or remove.');
  const path = field(operation, 'path');
  const value = field(operation, 'value');
  if (path !== undefined && path !== null && path !== '') {
    if (typeof path !== 'string') throw new ScimFault(400, 'invalidPath', 'A path must be a text.');
    return change(schema, resource, op, parsePath(path), value, true);
  }
  if (op === 'remove') throw new ScimFault(400, 'noTarget', 'To remove something needs a path.');
  if (!isObject(value)) throw new ScimFault(400, 'invalidValue', 'Without a path, the value must be a JSON object.');
  // Entra ID writes paths as names: "name.givenName", "urn:…:User:department", emails[type eq "work"].value.
  return Object.entries(value).reduce<Values>(
    (before, [name, content]) =>
      attributesOfPath(schema, name) === undefined && !name.includes('[')
        ? before
        : change(schema, before, op, parsePath(name), content, false),
    resource,
  );
}

/** `strict`: the path was given as one, so that it must not name what is read-only. */
function change(
  schema: ResourceSchema,
  resource: Values,
  op: Op,
  { path, filter, sub }: PatchPath,
  value: unknown,
  strict: boolean,
): Values {
  const attributes = attributesOfPath(schema, path);
  const target = attributes?.at(-1);
  if (attributes === undefined || target === undefined) {
    throw new ScimFault(400, 'invalidPath', `${path.slice(0, 100)} is no attribute that is served here.`);
  }
  if (attributes.some(({ readOnly }) => readOnly)) {
    if (strict) throw new ScimFault(400, 'mutability', `${path} is read-only.`);
    return resource;
  }
  const at = attributes
    .slice(0, -1)
    .map(({ name }) => `${name}.`)
    .join('');
  return changeAt(resource, attributes, (before) => {
    if (filter !== undefined) return changeSelected(target, before, op, filter, sub, value, at);
    return op === 'remove' ? removed(target, before, value, at) : put(target, before, op, value, at);
  });
}

/** Follows the attributes down to the last one, and puts in its place what `make` makes of it. */
function changeAt(values: Values, path: readonly Attribute[], make: (before: unknown) => unknown): Values {
  const [{ name, multiValued }, ...rest] = path;
  const before = values[name];
  let after: unknown;
  if (rest.length === 0) {
    after = make(before);
  } else if (multiValued) {
    // emails.value names it of every one.
    if (!Array.isArray(before)) throw new ScimFault(400, 'noTarget', `There is nothing in ${name} to change.`);
    after = before.map((item: Values) => changeAt(item, rest, make)).filter((item) => Object.keys(item).length > 0);
    requireOnePrimary(after as unknown[], name);
  } else {
    after = changeAt(isObject(before) ? before : {}, rest, make);
  }
  return withValue(values, name, after);
}

function withValue(values: Values, name: string, value: unknown): Values {
  const { [name]: _, ...others } = values;
  const isNone =
    value === undefined ||
    (Array.isArray(value) && value.length === 0) ||
    (isObject(value) && Object.keys(value).length === 0);
  return isNone ? others : { ...others, [name]: value };
}

/** Without a filter: the whole attribute. */
function put(attribute: Attribute, before: unknown, op: 'add' | 'replace', value: unknown, at: string): unknown {
  if (value === undefined) throw invalidValue(at + attribute.name, 'needs a value');
  if (attribute.multiValued) {
    const listed = Array.isArray(value) || value === null ? value : [value];
    const values = (readValue(attribute, listed, at) ?? []) as unknown[];
    return op === 'replace' ? values : joined((before ?? []) as readonly unknown[], values);
  }
  const read = readValue(attribute, value, at);
  // Parts that are not named stay (3.5.2.1, 3.5.2.3); those that are null go.
  if (attribute.type === 'complex' && read !== undefined) return merged(attribute, before, value, at);
  return op === 'add' && read === undefined ? before : read;
}

function merged(attribute: Attribute, before: unknown, value: unknown, at: string): Values {
  let result = isObject(before) ? before : {};
  const object = isObject(value) ? value : { value };
  for (const [name, content] of Object.entries(object)) {
    const sub = attributeNamed(attribute.sub, name);
    if (sub === undefined || sub.readOnly) continue;
    const place = `${at}${attribute.name}.`;
    const inner =
      sub.type === 'complex' && isObject(content) ? merged(sub, result[sub.name], content, place) : undefined;
    result = withValue(result, sub.name, inner ?? readValue(sub, content, place));
  }
  return result;
}

/** Values that are there already stay once (3.5.2.1); where a new one is the primary one, no other is. */
function joined(before: readonly unknown[], values: readonly unknown[]): unknown[] {
  const result = values.some(isPrimary) ? before.map(withoutPrimary) : [...before];
  const known = values.length > 8 ? new Set(result.map(textOf)) : undefined;
  for (const value of values) {
    if (known === undefined ? result.some((other) => same(other, value)) : known.has(textOf(value))) continue;
    known?.add(textOf(value));
    result.push(value);
  }
  return result;
}

function withoutPrimary(value: unknown): unknown {
  return isPrimary(value) ? { ...(value as Values), primary: false } : value;
}

/** Quick where values differ, as nearly all do. */
function same(a: unknown, b: unknown): boolean {
  return (a as Values)['value'] === (b as Values)['value'] && isDeepStrictEqual(a, b);
}

function textOf(value: unknown): string {
  return JSON.stringify(Object.entries(value as Values).sort(([a], [b]) => (a < b ? -1 : 1)));
}

function removed(attribute: Attribute, before: unknown, value: unknown, at: string): unknown {
  // Entra ID removes members by their values, beside the filter that the RFC has for that.
  if (!attribute.multiValued || value === undefined || value === null) return undefined;
  const listed = Array.isArray(value) ? value : [value];
  const values = (readValue(attribute, listed, at) ?? []) as readonly Values[];
  const byValue = new Set(values.map((item) => item['value']));
  return ((before ?? []) as readonly Values[]).filter((item) => !byValue.has(item['value']));
}

/** What the filter selects, or a part of it. */
function changeSelected(
  attribute: Attribute,
  before: unknown,
  op: Op,
  filter: Filter,
  subName: string | undefined,
  value: unknown,
  at: string,
): unknown {
  const place = at + attribute.name;
  if (!attribute.multiValued)
    throw new ScimFault(400, 'invalidPath', `${place} has one value, which no filter selects.`);
  const sub = subName === undefined ? undefined : attributeNamed(attribute.sub, subName);
  if (subName !== undefined && sub === undefined) {
    throw new ScimFault(400, 'invalidPath', `${place}.${subName.slice(0, 100)} is no attribute that is served here.`);
  }
  if (sub?.readOnly === true) throw new ScimFault(400, 'mutability', `${place}.${sub.name} is read-only.`);
  const fits = valueMatcherOf(attribute, filter);
  const values = (before ?? []) as readonly Values[];
  const selected = new Set(values.filter(fits));
  if (op === 'remove') {
    // What isn't there is removed already.
    if (sub === undefined) return values.filter((item) => !selected.has(item));
    return values
      .map((item) => (selected.has(item) ? withValue(item, sub.name, undefined) : item))
      .filter((item) => Object.keys(item).length > 0);
  }
  if (value === undefined) throw invalidValue(place, 'needs a value');
  const make = (item: Values): Values => {
    if (sub !== undefined) return withValue(item, sub.name, readValue(sub, value, `${place}.`));
    if (op === 'add') return merged(attribute, item, value, at);
    return (readOne(attribute, value, at) ?? {}) as Values;
  };
  let changed: readonly Values[];
  if (selected.size === 0) {
    if (op === 'replace') throw new ScimFault(400, 'noTarget', `No value in ${place} fits the filter.`);
    // Entra ID adds the first work address by emails[type eq "work"].value.
    const made = make(templateOf(attribute, filter, place));
    selected.add(made);
    changed = [...values, made];
  } else {
    changed = values.map((item) => {
      if (!selected.has(item)) return item;
      const made = make(item);
      selected.add(made);
      return made;
    });
  }
  if (changed.length > attribute.maxValues) throw invalidValue(place, `can have ${attribute.maxValues} values at most`);
  const isNewPrimary = changed.some((item) => isPrimary(item) && selected.has(item));
  const result = isNewPrimary
    ? changed.map((item) => (selected.has(item) ? item : (withoutPrimary(item) as Values)))
    : changed;
  requireOnePrimary(result, place);
  return result.filter((item) => Object.keys(item).length > 0);
}

/** The value that a filter describes. */
function templateOf(attribute: Attribute, filter: Filter, at: string): Values {
  const parts = filter.kind === 'and' ? filter.parts : [filter];
  return parts.reduce<Values>((template, part) => {
    const sub =
      part.kind === 'compare' && part.comparison === 'eq' ? attributeNamed(attribute.sub, part.path) : undefined;
    if (part.kind !== 'compare' || sub === undefined || sub.readOnly) {
      throw new ScimFault(400, 'noTarget', `No value in ${at} fits the filter.`);
    }
    return withValue(template, sub.name, readValue(sub, part.value, `${at}.`));
  }, {});
}
