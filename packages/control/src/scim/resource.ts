/** Takes resources from requests, and gives of them what a request asks for. */
import { secretShapes } from '../audit/canonical-json.ts';
import {
  attributeNamed,
  attributesOfPath,
  isObject,
  textAt,
  type Attribute,
  type ResourceSchema,
  type Values,
} from './attributes.ts';
import { invalidValue, ScimFault, type ScimType } from './fault.ts';

const base64 = /^[A-Za-z0-9+/]*={0,2}$/;
/** No control characters, nor what turns the direction of writing. */
const unwanted = /[\u0000-\u001f\u007f\u202a-\u202e\u2066-\u2069]/;
const unwantedInLines = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f\u202a-\u202e\u2066-\u2069]/;

/**
 * A whole resource, as POST and PUT bring it, in the spelling of its schema. What the schema doesn't know and what is
 * read-only is left out (RFC 7644, 3.3), nulls and empty lists are no values (RFC 7643, 2.5). Throws a ScimFault.
 */
export function readResource(schema: ResourceSchema, body: unknown): Values {
  if (!isObject(body)) throw new ScimFault(400, 'invalidSyntax', 'The body must be a JSON object.');
  requireSchema(body, schema.urn);
  const resource = readObject(schema.attributes, body, '');
  requireComplete(schema, resource, 'invalidValue');
  return resource;
}

/** Throws where the field `schemas` of a body doesn't name what it should (RFC 7643, 3). */
export function requireSchema(body: Values, urn: string): void {
  const [, schemas] = Object.entries(body).find(([name]) => name.toLowerCase() === 'schemas') ?? [];
  const names = Array.isArray(schemas) ? (schemas as unknown[]) : [];
  if (names.some((name) => typeof name === 'string' && name.toLowerCase() === urn.toLowerCase())) return;
  throw new ScimFault(400, 'invalidSyntax', `The field schemas must be a list that holds ${urn}.`);
}

/** Throws where an attribute that is required has no value; `scimType` is what that is called. */
export function requireComplete(schema: ResourceSchema, resource: Values, scimType: ScimType): void {
  for (const { name, required, readOnly } of schema.attributes) {
    if (required && !readOnly && textAt(resource, name).trim() === '') {
      throw new ScimFault(400, scimType, `${name}: is required`);
    }
  }
}

function readObject(attributes: readonly Attribute[], value: Values, at: string): Values {
  const given = new Map<Attribute, unknown>();
  for (const [name, content] of Object.entries(value)) {
    const attribute = attributeNamed(attributes, name);
    if (attribute === undefined || attribute.readOnly) continue;
    if (given.has(attribute)) throw new ScimFault(400, 'invalidSyntax', `${at}${attribute.name} is given twice.`);
    given.set(attribute, content);
  }
  // In the order of the schema, so that equal values look alike.
  const object: Record<string, unknown> = {};
  for (const attribute of attributes) {
    const content = given.has(attribute) ? readValue(attribute, given.get(attribute), at) : undefined;
    if (content !== undefined) object[attribute.name] = content;
  }
  return object;
}

/** A value of an attribute, all of them where it has several; undefined where it is none. `at` stands before its name. */
export function readValue(attribute: Attribute, value: unknown, at: string): unknown {
  if (value === null) return undefined;
  if (!attribute.multiValued) return readOne(attribute, value, at);
  const place = at + attribute.name;
  if (!Array.isArray(value)) throw invalidValue(place, 'must be a list');
  if (value.length > attribute.maxValues) throw invalidValue(place, `can have ${attribute.maxValues} values at most`);
  const values = value.map((item) => readOne(attribute, item, at)).filter((item) => item !== undefined);
  requireOnePrimary(values, place);
  return values.length === 0 ? undefined : values;
}

/** "The primary attribute value `true` MUST appear no more than once" (RFC 7643, 2.4). */
export function requireOnePrimary(values: readonly unknown[], at: string): void {
  if (values.filter(isPrimary).length > 1) throw invalidValue(at, 'one value can be the primary one');
}

export function isPrimary(value: unknown): boolean {
  return isObject(value) && value['primary'] === true;
}

/** One value, of several or the only one. */
export function readOne(attribute: Attribute, value: unknown, at: string): unknown {
  const place = at + attribute.name;
  switch (attribute.type) {
    case 'complex': {
      // Entra ID sends a manager as a text, others members and addresses.
      const object =
        typeof value === 'string' && attributeNamed(attribute.sub, 'value') !== undefined ? { value } : value;
      if (!isObject(object)) throw invalidValue(place, 'must be an object');
      const content = readObject(attribute.sub, object, `${place}.`);
      return Object.keys(content).length === 0 ? undefined : content;
    }
    case 'boolean': {
      if (typeof value === 'boolean') return value;
      // Entra ID sends "True" and "False".
      const word = typeof value === 'string' ? value.toLowerCase() : '';
      if (word !== 'true' && word !== 'false') throw invalidValue(place, 'must be true or false');
      return word === 'true';
    }
    default:
      return readText(attribute, value, place);
  }
}

function readText(attribute: Attribute, value: unknown, at: string): string {
  if (typeof value !== 'string') throw invalidValue(at, 'must be a text');
  if (value.length > attribute.maxLength) throw invalidValue(at, `can have ${attribute.maxLength} characters at most`);
  if ((attribute.lines ? unwantedInLines : unwanted).test(value) || !value.isWellFormed()) {
    throw invalidValue(at, 'has control characters, or half of one');
  }
  if (secretShapes.test(value)) throw invalidValue(at, 'looks like a token or a hash of a password');
  if (attribute.type === 'binary' && !base64.test(value)) throw invalidValue(at, 'must be base64');
  return value;
}

/** Which attributes an answer holds (RFC 7644, 3.9). */
export interface Projection {
  /** Whether it holds any of a top-level attribute. */
  readonly has: (name: string) => boolean;
  readonly apply: (resource: Values) => Values;
}

/** `attributes` and `excludedAttributes` are lists of names between commas; the first counts where both are given. */
export function projectionOf(
  schema: ResourceSchema,
  { attributes, excluded }: { readonly attributes: string | null; readonly excluded: string | null },
): Projection {
  const only = attributes === null || attributes.trim() === '' ? undefined : selectionOf(schema, attributes);
  const without = only === undefined ? selectionOf(schema, excluded ?? '') : new Map<string, Set<string>>();
  const always = new Set(schema.attributes.filter((attribute) => attribute.always).map(({ name }) => name));
  const has = (name: string): boolean =>
    always.has(name) || (only === undefined ? without.get(name)?.size !== 0 : only.has(name));
  return {
    has,
    apply: (resource) => {
      const answer: Record<string, unknown> = {};
      for (const [name, value] of Object.entries(resource)) {
        if (!has(name)) continue;
        const kept = only?.get(name);
        const left = without.get(name);
        if (always.has(name)) answer[name] = value;
        else if (kept !== undefined && kept.size > 0) answer[name] = pick(value, (sub) => kept.has(sub));
        else if (left !== undefined) answer[name] = pick(value, (sub) => !left.has(sub));
        else answer[name] = value;
      }
      return answer;
    },
  };
}

/** Top-level names, with the names below them; with none where the whole is meant. */
function selectionOf(schema: ResourceSchema, list: string): Map<string, Set<string>> {
  const selection = new Map<string, Set<string>>();
  const whole = new Set<string>();
  for (const path of list.split(',').slice(0, 100)) {
    const [outer, inner] = attributesOfPath(schema, path.trim()) ?? [];
    if (outer === undefined) continue;
    if (inner === undefined) whole.add(outer.name);
    selection.set(
      outer.name,
      new Set([...(selection.get(outer.name) ?? []), ...(inner === undefined ? [] : [inner.name])]),
    );
  }
  for (const name of whole) selection.set(name, new Set());
  return selection;
}

function pick(value: unknown, keep: (name: string) => boolean): unknown {
  if (Array.isArray(value)) return value.map((item) => pick(item, keep));
  if (!isObject(value)) return value;
  return Object.fromEntries(Object.entries(value).filter(([name]) => keep(name)));
}
