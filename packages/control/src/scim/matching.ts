/** Which resources a filter fits. */
import { attributesOfPath, folded, isObject, type Attribute, type ResourceSchema } from './attributes.ts';
import { ScimFault } from './fault.ts';
import type { Comparison, Filter, Literal } from './filter.ts';

export type Predicate = (value: unknown) => boolean;

/** A filter on whole resources. Throws a ScimFault where the schema doesn't have what it names, or not so. */
export function matcherOf(schema: ResourceSchema, filter: Filter): Predicate {
  return compile(filter, (path) => attributesOfPath(schema, path));
}

/** A filter on the values of a multi-valued attribute. */
export function valueMatcherOf(attribute: Attribute, filter: Filter): Predicate {
  return compile(filter, (path) => {
    const sub = attribute.sub.find(({ name }) => name.toLowerCase() === path.toLowerCase());
    return sub === undefined ? undefined : [sub];
  });
}

/** Top-level attributes that a filter names. */
export function attributesOfFilter(schema: ResourceSchema, filter: Filter): ReadonlySet<string> {
  switch (filter.kind) {
    case 'and':
    case 'or':
      return new Set(filter.parts.flatMap((part) => [...attributesOfFilter(schema, part)]));
    case 'not':
      return attributesOfFilter(schema, filter.part);
    default:
      return new Set((attributesOfPath(schema, filter.path) ?? []).slice(0, 1).map(({ name }) => name));
  }
}

/** A value that a top-level attribute must equal for the filter to fit, where there is one: an index may know it. */
export function requiredValue(schema: ResourceSchema, filter: Filter, attribute: string): string | undefined {
  if (filter.kind === 'and') {
    for (const part of filter.parts) {
      const found = requiredValue(schema, part, attribute);
      if (found !== undefined) return found;
    }
  }
  if (filter.kind !== 'compare' || filter.comparison !== 'eq' || typeof filter.value !== 'string') return undefined;
  const path = attributesOfPath(schema, filter.path);
  return path?.length === 1 && path[0].name === attribute ? filter.value : undefined;
}

type Resolve = (path: string) => readonly Attribute[] | undefined;

function compile(filter: Filter, resolve: Resolve): Predicate {
  switch (filter.kind) {
    case 'and': {
      const parts = filter.parts.map((part) => compile(part, resolve));
      return (value) => parts.every((part) => part(value));
    }
    case 'or': {
      const parts = filter.parts.map((part) => compile(part, resolve));
      return (value) => parts.some((part) => part(value));
    }
    case 'not': {
      const part = compile(filter.part, resolve);
      return (value) => !part(value);
    }
    case 'some': {
      const path = attributesAt(filter.path, resolve);
      const attribute = path[path.length - 1];
      if (attribute.type !== 'complex') throw refused(filter.path, 'has no parts, so nothing stands in [ ] after it');
      const part = valueMatcherOf(attribute, filter.part);
      return (value) => anyAt(value, path, 0, part);
    }
    case 'present': {
      const path = attributesAt(filter.path, resolve);
      return (value) => anyAt(value, path, 0, isPresent);
    }
    case 'compare': {
      let path = attributesAt(filter.path, resolve);
      const last = path[path.length - 1];
      if (last.type === 'complex') {
        // The value is what is meant where no part is named (RFC 7643, 2.4).
        const value = last.sub.find(({ name }) => name === 'value');
        if (value === undefined) throw refused(filter.path, 'has parts: name one of them');
        path = [...path, value];
      }
      return comparison(filter.path, path, filter.comparison, filter.value);
    }
  }
}

function attributesAt(path: string, resolve: Resolve): readonly Attribute[] {
  const attributes = resolve(path);
  if (attributes !== undefined) return attributes;
  throw refused(path, 'is no attribute that is served here');
}

function refused(path: string, message: string): ScimFault {
  return new ScimFault(400, 'invalidFilter', `The filter can't be used: ${path.slice(0, 100)} ${message}.`);
}

/** Whether any value at a path fits; several values are taken one by one. */
function anyAt(value: unknown, path: readonly Attribute[], from: number, fits: Predicate): boolean {
  if (Array.isArray(value)) return value.some((item) => anyAt(item, path, from, fits));
  if (from === path.length) return value !== undefined && fits(value);
  return isObject(value) && anyAt(value[path[from].name], path, from + 1, fits);
}

function isPresent(value: unknown): boolean {
  return value !== '' && !(isObject(value) && Object.keys(value).length === 0);
}

function comparison(name: string, path: readonly Attribute[], operator: Comparison, literal: Literal): Predicate {
  // Unequal is what is not equal, so that a resource without the attribute fits, and one with several values only where
  // none of them is equal.
  if (operator === 'ne') {
    const equal = comparison(name, path, 'eq', literal);
    return (value) => !equal(value);
  }
  if (literal === null) {
    if (operator !== 'eq') throw refused(name, `can't be compared with null by ${operator}`);
    return (value) => !anyAt(value, path, 0, isPresent);
  }
  const { type, caseExact } = path[path.length - 1];
  let fits: Predicate;
  if (type === 'boolean') {
    const wanted = typeof literal === 'string' ? literal.toLowerCase() : String(literal);
    if (operator !== 'eq' || (wanted !== 'true' && wanted !== 'false')) {
      throw refused(name, 'is true or false, and takes eq and ne with these only');
    }
    fits = (value) => value === (wanted === 'true');
  } else if (typeof literal !== 'string') {
    throw refused(name, 'is compared with texts: "…"');
  } else if (type === 'dateTime') {
    const wanted = Date.parse(literal);
    if (Number.isNaN(wanted)) throw refused(name, 'is a time, to be compared with one such as "2027-01-31T00:00:00Z"');
    const compare = ordered(operator);
    if (compare === undefined) throw refused(name, `is a time, which does not take ${operator}`);
    fits = (value) => compare(Date.parse(value as string), wanted);
  } else {
    const wanted = caseExact ? literal : folded(literal);
    const compare = ofTexts(operator);
    fits = caseExact
      ? (value) => compare(value as string, wanted)
      : (value) => compare(folded(value as string), wanted);
  }
  return (value) => anyAt(value, path, 0, fits);
}

type Order = <T extends string | number>(value: T, wanted: T) => boolean;

function ordered(operator: Comparison): Order | undefined {
  switch (operator) {
    case 'eq':
      return (value, wanted) => value === wanted;
    case 'gt':
      return (value, wanted) => value > wanted;
    case 'ge':
      return (value, wanted) => value >= wanted;
    case 'lt':
      return (value, wanted) => value < wanted;
    case 'le':
      return (value, wanted) => value <= wanted;
    default:
      return undefined;
  }
}

function ofTexts(operator: Comparison): (value: string, wanted: string) => boolean {
  switch (operator) {
    case 'co':
      return (value, wanted) => value.includes(wanted);
    case 'sw':
      return (value, wanted) => value.startsWith(wanted);
    case 'ew':
      return (value, wanted) => value.endsWith(wanted);
    default:
      return ordered(operator)!;
  }
}
