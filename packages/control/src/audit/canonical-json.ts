import { Secret } from '@sallyport/core';

/** Deeper than anything the API takes. */
const depthLimit = 32;

/** Names under which keys and passwords go, at the end of a property's name, in lower case without separators. */
const secretNames =
  /(password|passphrase|token|secret|privatekey|private|presharedkey|masterkey|psk|sealed|credential|cookie|(password|token)hash)s?$/;

/** What passwords' hashes and tokens look like, wherever they stand. */
export const secretShapes = /\$argon2|\bsp[a-z]_[A-Za-z0-9_-]{16,}/;

/**
 * JSON with sorted properties and no spaces: equal values give equal text. `undefined` becomes null, properties that are
 * undefined are left out.
 * @throws TypeError for what JSON cannot hold, and for what looks like a secret
 */
export function canonicalJson(value: unknown): string {
  return encode(value, '', 0);
}

function encode(value: unknown, at: string, depth: number): string {
  if (depth > depthLimit) throw new TypeError(`The audit log takes no more than ${depthLimit} levels`);
  switch (typeof value) {
    case 'undefined':
      return 'null';
    case 'boolean':
      return String(value);
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError(`The audit log takes no such number${at}`);
      return JSON.stringify(value);
    case 'string':
      if (secretShapes.test(value)) throw new TypeError(`A secret would get into the audit log${at}`);
      return JSON.stringify(value);
    case 'object':
      if (value === null) return 'null';
      if (value instanceof Secret) throw new TypeError(`A secret would get into the audit log${at}`);
      if (Array.isArray(value)) return `[${value.map((item) => encode(item, at, depth + 1)).join(',')}]`;
      return encodeObject(value, at, depth);
    default:
      throw new TypeError(`The audit log takes no ${typeof value}${at}`);
  }
}

function encodeObject(value: object, at: string, depth: number): string {
  const prototype: unknown = Object.getPrototypeOf(value);
  if (prototype !== Object.prototype && prototype !== null) {
    throw new TypeError(`The audit log takes only plain objects${at}`);
  }
  const fields: string[] = [];
  for (const name of Object.keys(value).sort()) {
    const content = (value as Record<string, unknown>)[name];
    if (content === undefined) continue;
    // "hasPassword: true" says nothing secret, and neither does null.
    const canHide = typeof content === 'string' || typeof content === 'object';
    if (canHide && content !== null && secretNames.test(name.toLowerCase().replace(/[_-]/g, ''))) {
      throw new TypeError(`A secret would get into the audit log, in "${name}"`);
    }
    fields.push(`${JSON.stringify(name)}:${encode(content, `, in "${name}"`, depth + 1)}`);
  }
  return `{${fields.join(',')}}`;
}
