/** What attributes of resources are (RFC 7643, 2 and 7), and how they are found by the names that requests use. */

export interface Attribute {
  readonly name: string;
  readonly description: string;
  readonly type: 'string' | 'boolean' | 'dateTime' | 'reference' | 'binary' | 'complex';
  readonly multiValued: boolean;
  readonly required: boolean;
  readonly caseExact: boolean;
  readonly readOnly: boolean;
  /** In every answer, whatever a request says about attributes. */
  readonly always: boolean;
  readonly unique: boolean;
  readonly referenceTypes: readonly string[];
  /** Characters of a text. */
  readonly maxLength: number;
  /** A text may have several lines. */
  readonly lines: boolean;
  /** Values that a multi-valued attribute can have. */
  readonly maxValues: number;
  readonly sub: readonly Attribute[];
}

export interface ResourceSchema {
  readonly name: 'User' | 'Group';
  readonly urn: string;
  readonly description: string;
  /** Extensions stand among them as complex attributes that are named by their URN. */
  readonly attributes: readonly Attribute[];
}

/** A resource with the spelling of its schema: attributes without a value are absent, `undefined` stands for none. */
export type Values = { readonly [name: string]: unknown };

type Options = Partial<Omit<Attribute, 'name' | 'description' | 'type' | 'sub'>>;

const defaults = {
  multiValued: false,
  required: false,
  caseExact: false,
  readOnly: false,
  always: false,
  unique: false,
  referenceTypes: [],
  maxLength: 1024,
  lines: false,
  maxValues: 100,
  sub: [],
} as const;

export function text(name: string, description: string, options: Options = {}): Attribute {
  return { ...defaults, name, description, type: 'string', ...options };
}

export function simple(
  name: string,
  type: 'boolean' | 'dateTime' | 'reference' | 'binary',
  description: string,
  options: Options = {},
): Attribute {
  return { ...defaults, name, description, type, caseExact: type === 'reference' || type === 'binary', ...options };
}

export function complex(
  name: string,
  description: string,
  sub: readonly Attribute[],
  options: Options = {},
): Attribute {
  return { ...defaults, name, description, type: 'complex', sub, ...options };
}

/** The multi-valued attributes that are alike: a value, what kind it is, and which one counts first (RFC 7643, 2.4). */
export function plural(
  name: string,
  description: string,
  value: Attribute,
  more: readonly Attribute[] = [],
): Attribute {
  return complex(
    name,
    description,
    [
      value,
      ...more,
      text('display', 'A name to show'),
      text('type', 'What kind it is: work, home'),
      simple('primary', 'boolean', 'The one that counts first'),
    ],
    { multiValued: true },
  );
}

/** Names of attributes are the same in capital letters and small ones (RFC 7643, 2.1). */
export function attributeNamed(attributes: readonly Attribute[], name: string): Attribute | undefined {
  const wanted = name.toLowerCase();
  return attributes.find((attribute) => attribute.name.toLowerCase() === wanted);
}

/**
 * The attributes that a path names, from the outside in: `name.givenName`, `urn:…:User:userName`, `urn:…:enterprise:2.0:User`,
 * `urn:…:enterprise:2.0:User:manager.value`. Undefined where the schema has no such thing.
 */
export function attributesOfPath(schema: ResourceSchema, path: string): readonly Attribute[] | undefined {
  const lower = path.toLowerCase();
  if (lower.startsWith(`${schema.urn.toLowerCase()}:`)) {
    return walk(schema.attributes, path.slice(schema.urn.length + 1).split('.'));
  }
  for (const extension of schema.attributes) {
    if (!extension.name.includes(':')) continue;
    const urn = extension.name.toLowerCase();
    if (lower === urn) return [extension];
    if (!lower.startsWith(`${urn}:`)) continue;
    const rest = walk(extension.sub, path.slice(urn.length + 1).split('.'));
    return rest === undefined ? undefined : [extension, ...rest];
  }
  return walk(schema.attributes, path.split('.'));
}

function walk(attributes: readonly Attribute[], names: readonly string[]): readonly Attribute[] | undefined {
  const found: Attribute[] = [];
  let among = attributes;
  for (const name of names) {
    const attribute = attributeNamed(among, name);
    if (attribute === undefined) return undefined;
    found.push(attribute);
    among = attribute.sub;
  }
  return found;
}

/** What texts that are the same in capital letters and small ones have in common. */
export function folded(value: string): string {
  return value.normalize('NFC').toLowerCase();
}

/** The text of an attribute; empty where there is none. */
export function textAt(values: Values, name: string): string {
  const value = values[name];
  return typeof value === 'string' ? value : '';
}

export function isObject(value: unknown): value is Values {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
