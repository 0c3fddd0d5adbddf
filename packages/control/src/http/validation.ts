import { z } from 'zod';
import type { RouteContract } from '@sallyport/api';
import { secretShapes } from '../audit/canonical-json.ts';
import { ApiError } from './api-error.ts';
import { MAX_FAULTS } from './limits.ts';

export interface Validated {
  readonly params: unknown;
  readonly query: unknown;
  readonly body: unknown;
}

type Fault = { readonly at: string; readonly message: string };

/** Checks the whole request and names all its faults at once, with their places: `/body/groups/0`, `/query/limit`. */
export function requestValidator(
  contract: RouteContract,
): (params: unknown, query: URLSearchParams, body: unknown) => Validated {
  const schemas = {
    params: strict(contract.params ?? nothing),
    query: strict(contract.query ?? nothing),
    body: contract.body === undefined ? undefined : strict(contract.body),
  };
  return (params, query, body) => {
    const faults: Fault[] = [];
    const parse = (part: keyof Validated, schema: z.ZodType | undefined, value: unknown): unknown => {
      if (schema === undefined) return undefined;
      const result = schema.safeParse(value);
      if (!result.success) for (const issue of result.error.issues) faults.push(...faultsOf(part, issue));
      return result.data;
    };
    const fields: Record<string, unknown> = {};
    for (const [name, value] of query) {
      if (Object.hasOwn(fields, name) || name === '__proto__') {
        faults.push({ at: `/query/${escapePointer(name)}`, message: 'is given twice, or is no name for a parameter' });
      } else fields[name] = value;
    }
    const validated = {
      params: parse('params', schemas.params, params),
      query: parse('query', schemas.query, fields),
      body: parse('body', schemas.body, body),
    };
    for (const [part, value] of Object.entries(validated)) checkTexts(value, `/${part}`, faults);
    checkSecrets(validated.body, '/body', faults);
    if (faults.length === 0) return validated;
    throw new ApiError('invalidRequest', `The request is faulty: ${faults[0].at}: ${faults[0].message}.`, {
      faults: faults.slice(0, MAX_FAULTS),
    });
  };
}

const nothing = z.strictObject({});

/** Objects refuse what they don't know, though their author forgot to say so. */
function strict(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodObject ? schema.strict() : schema;
}

/** Databases take neither the character zero nor half of a surrogate pair. */
function checkTexts(value: unknown, at: string, faults: Fault[]): void {
  if (typeof value === 'string') {
    if (!value.isWellFormed() || value.includes('\0')) faults.push({ at, message: 'has a character that is none' });
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, inner] of Object.entries(value)) {
      checkTexts(name, `${at}/${escapePointer(name)}`, faults);
      checkTexts(inner, `${at}/${escapePointer(name)}`, faults);
    }
  }
}

/** Fields that hold secrets; no other may, for what they hold is shown and goes to the audit log. */
const secretFields: ReadonlySet<string> = new Set([
  'token',
  'knownClient',
  'password',
  'currentPassword',
  'newPassword',
  'clientSecret',
  'deviceCode',
]);

/** A token that was pasted into the wrong field. */
function checkSecrets(value: unknown, at: string, faults: Fault[]): void {
  if (typeof value === 'string') {
    if (secretShapes.test(value)) faults.push({ at, message: 'looks like a token or a hash of a password' });
  } else if (typeof value === 'object' && value !== null) {
    for (const [name, inner] of Object.entries(value)) {
      if (!secretFields.has(name)) checkSecrets(inner, `${at}/${escapePointer(name)}`, faults);
    }
  }
}

function faultsOf(part: string, issue: z.core.$ZodIssue): Fault[] {
  const at = `/${[part, ...issue.path.map(String)].map(escapePointer).join('/')}`;
  if (issue.code === 'unrecognized_keys') {
    return issue.keys.map((key) => ({ at: `${at}/${escapePointer(key)}`, message: 'there is no such field' }));
  }
  return [{ at, message: issue.message }];
}

/** RFC 6901, section 3; cut where a client made it long. */
function escapePointer(token: string): string {
  return token.slice(0, 100).toWellFormed().replaceAll('~', '~0').replaceAll('/', '~1');
}
