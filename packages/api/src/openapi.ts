/** The API as an OpenAPI 3.1 document, made from the contracts. */
import { z } from 'zod';
import type { Method, RouteContract } from './contract.ts';
import { PROBLEMS, problem, type ProblemCode } from './problem.ts';

export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };
type JsonObject = Readonly<Record<string, Json>>;

export interface OpenApiDocument {
  readonly openapi: '3.1.0';
  readonly info: JsonObject;
  readonly servers: readonly JsonObject[];
  readonly security: readonly JsonObject[];
  readonly tags: readonly JsonObject[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, JsonObject>>>>;
  readonly components: {
    readonly schemas: JsonObject;
    readonly responses: JsonObject;
    readonly securitySchemes: JsonObject;
  };
}

/** Whether a route demands If-Match: it changes something that exists and has a version. */
export function demandsVersion(contract: RouteContract): boolean {
  return contract.versioned === true && changesExisting.has(contract.method);
}
const changesExisting: ReadonlySet<Method> = new Set(['PUT', 'PATCH', 'DELETE']);

/** Whether a route takes an Idempotency-Key: it creates something, for a caller who is known. */
export function takesIdempotencyKey(contract: RouteContract): boolean {
  return contract.method === 'POST' && contract.permission !== 'public';
}

/** The status of a route's answer when all is well. */
export function statusOf(contract: RouteContract): number {
  return contract.status ?? (contract.result === undefined ? 204 : 200);
}

/** The forms of the headers that several routes take. */
export const idempotencyKeyPattern = /^[A-Za-z0-9_-]{16,128}$/;

/** Throws where two schemas of one name differ. */
export function createOpenApi(contracts: readonly RouteContract[], version: string): OpenApiDocument {
  const schemas = new Schemas();
  const paths: Record<string, Record<string, JsonObject>> = {};
  for (const contract of contracts) {
    const path = (paths[contract.path] ??= {});
    path[contract.method.toLowerCase()] = operation(contract, schemas);
  }
  const problemSchema = schemas.add(problem, 'output');
  const responses: Record<string, Json> = {};
  for (const [code, [status, title]] of Object.entries(PROBLEMS)) {
    responses[code] = {
      description: title,
      ...(retryable.has(status) ? { headers: { 'Retry-After': { schema: { type: 'integer' } } } } : {}),
      content: { 'application/problem+json': { schema: problemSchema } },
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: 'Sallyport',
      version,
      description:
        'The API of a Sallyport service. Errors are problems as RFC 9457 has them. Lists come in pages: `next` of one is ' +
        '`after` of the following. What has a version answers with an ETag, and changes only with the If-Match of the ' +
        'version that was seen. A POST with an Idempotency-Key is done once, however often it is sent within 24 hours.',
      license: { name: 'Apache-2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/api/v1' }],
    security: [{ bearer: [] }, { cookie: [] }],
    tags: [...new Set(contracts.map(({ tag }) => tag))].map((name) => ({ name })),
    paths,
    components: {
      schemas: schemas.all,
      responses,
      securitySchemes: {
        bearer: {
          type: 'http',
          scheme: 'bearer',
          description: 'The token of a session (`sps_…`) or an API token (`spt_…`)',
        },
        cookie: {
          type: 'apiKey',
          in: 'cookie',
          name: '__Host-sallyport',
          description: 'For browsers; changes are taken from pages of the same origin only',
        },
      },
    },
  };
}

const retryable: ReadonlySet<number> = new Set([429, 503]);

function operation(contract: RouteContract, schemas: Schemas): JsonObject {
  const parameters: Json[] = [
    ...parametersOf(contract.params, 'path', schemas),
    ...parametersOf(contract.query, 'query', schemas),
  ];
  if (demandsVersion(contract)) {
    parameters.push({
      name: 'If-Match',
      in: 'header',
      required: true,
      description: 'The ETag of the version that the change is made to',
      schema: { type: 'string', pattern: '^(W/)?"[0-9]+"$' },
      example: '"3"',
    });
  }
  if (takesIdempotencyKey(contract)) {
    parameters.push({
      name: 'Idempotency-Key',
      in: 'header',
      required: false,
      description: 'Random, the same for each repetition of one request',
      schema: { type: 'string', pattern: idempotencyKeyPattern.source },
    });
  }
  const { command } = contract;
  return {
    operationId: contract.id,
    summary: contract.summary,
    tags: [contract.tag],
    'x-permission': contract.permission,
    ...(contract.client === true ? { 'x-client': true } : {}),
    ...(contract.permission === 'public' ? { security: [] } : {}),
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(contract.body === undefined
      ? {}
      : {
          requestBody: {
            required: true,
            content: { 'application/json': { schema: schemas.add(contract.body, 'input') } },
          },
        }),
    responses: responsesOf(contract, schemas),
    ...(command === undefined
      ? {}
      : {
          'x-codeSamples': command.examples.map((source) => ({
            lang: 'Shell',
            label: command.name,
            source,
          })),
        }),
  };
}

function parametersOf(schema: z.ZodObject | undefined, where: 'path' | 'query', schemas: Schemas): Json[] {
  if (schema === undefined) return [];
  return Object.entries(schema.shape).map(([name, field]) => ({
    name,
    in: where,
    required: where === 'path' || !z.safeParse(field as z.ZodType, undefined).success,
    schema: schemas.add(field as z.ZodType, 'input'),
  }));
}

function responsesOf(contract: RouteContract, schemas: Schemas): JsonObject {
  const status = statusOf(contract);
  const codes = new Set<ProblemCode>(['invalidRequest', 'tooManyRequests', 'internal', 'unavailable']);
  if (contract.permission !== 'public') codes.add('loginRequired');
  if (contract.permission !== 'public' && contract.permission !== 'self') codes.add('forbidden');
  if (contract.params !== undefined) codes.add('notFound');
  if (contract.method !== 'GET') codes.add('conflict');
  if (contract.body !== undefined) codes.add('tooLarge').add('unsupportedMediaType');
  if (demandsVersion(contract)) codes.add('versionMismatch').add('versionRequired');
  if (takesIdempotencyKey(contract)) codes.add('idempotencyMismatch');
  const responses: Record<string, Json> = {
    [status]: {
      description: contract.summary,
      ...(contract.versioned === true && contract.result !== undefined
        ? { headers: { ETag: { description: 'The version, in quotes', schema: { type: 'string' } } } }
        : {}),
      ...(contract.result === undefined
        ? {}
        : {
            content: {
              [contract.mediaType ?? 'application/json']: { schema: schemas.add(contract.result, 'output') },
            },
          }),
    },
  };
  for (const code of codes) responses[PROBLEMS[code][0]] = { $ref: `#/components/responses/${code}` };
  return responses;
}

/** The schemas that have a name, each once. */
class Schemas {
  readonly all: Record<string, Json> = {};

  /** A reference to the schema where it has a name, or the schema, with references to those within that have one. */
  add(schema: z.ZodType, io: 'input' | 'output'): Json {
    // Within a list it counts as a part, and parts that have a name become definitions.
    const { items, $defs } = z.toJSONSchema(z.array(schema), { io, unrepresentable: 'any' }) as unknown as {
      items: Json;
      $defs?: JsonObject;
    };
    for (const [name, definition] of Object.entries($defs ?? {})) {
      const { id: _id, ...rest } = withReferences(definition) as Record<string, Json>;
      const known = this.all[name];
      if (known === undefined) this.all[name] = rest;
      else if (JSON.stringify(known) !== JSON.stringify(rest)) {
        throw new Error(`The API has two schemas ${name} that differ; give one of them another id`);
      }
    }
    return withReferences(items);
  }
}

function withReferences(value: Json): Json {
  if (Array.isArray(value)) return (value as readonly Json[]).map(withReferences);
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === '$ref' && typeof inner === 'string'
        ? inner.replace('#/$defs/', '#/components/schemas/')
        : withReferences(inner),
    ]),
  );
}
