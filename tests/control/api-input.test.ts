/** Requests made from the OpenAPI document: right ones, wrong ones, and anything between. */
import assert from 'node:assert/strict';
import { after, before, describe, test } from 'node:test';
import { allRoutes, createOpenApi, problem, type Json } from '@sallyport/api';
import { PostgresServer } from '@sallyport/netlab';
import fc from 'fast-check';
import { apiWorld, type Answer } from './api-world.ts';

type Node = Record<string, Json>;
const seed = 20270115;
const document = createOpenApi(allRoutes, '0');

let world: Awaited<ReturnType<typeof apiWorld>>;

/** Texts that have broken parsers, databases and pages before. */
const nasty = fc.constantFrom(
  '',
  ' ',
  '\0',
  'a\0b',
  '\ud800',
  '\r\nset-cookie: x=1',
  '__proto__',
  'constructor',
  'hasOwnProperty',
  '../../etc/passwd',
  "'; DROP TABLE user; --",
  '%',
  '_',
  '\\',
  '"',
  '{}',
  'null',
  '1e999',
  '-0',
  '\u202eevil',
  'ａｂｃ',
  'é',
  'e\u0301',
  '😀'.repeat(50),
  'x'.repeat(3_000),
  '<script>alert(1)</script>',
  '${7*7}',
  '10.0.0.0/33',
  '::ffff:1.2.3.4',
  '0000-00-00T00:00:00Z',
  '2027-02-30T00:00:00Z',
  '9999-12-31T23:59:59.999999999Z',
  `sps_${'a'.repeat(43)}`,
);

/** Values of any kind, whatever the schema says. */
const anything: fc.Arbitrary<Json> = fc.oneof(
  nasty,
  fc.jsonValue({ maxDepth: 3 }) as fc.Arbitrary<Json>,
  fc.constantFrom<Json>(null, true, 0, -1, 1.5, 1e308, Number.MAX_SAFE_INTEGER + 1, [], {}, [[]], [null]),
);

/** Values that fit a schema in most parts. */
function fitting(schema: Node): fc.Arbitrary<Json> {
  if (typeof schema['$ref'] === 'string') {
    return fitting(document.components.schemas[schema['$ref'].split('/').at(-1)!] as Node);
  }
  const options = (schema['anyOf'] ?? schema['oneOf']) as Node[] | undefined;
  if (options !== undefined) return fc.oneof(...options.map(fitting));
  if (Array.isArray(schema['enum'])) return fc.constantFrom(...(schema['enum'] as Json[]));
  if (schema['const'] !== undefined) return fc.constant(schema['const']);
  const number = (key: string, otherwise: number): number => (schema[key] as number | undefined) ?? otherwise;
  switch (schema['type']) {
    case 'object': {
      const required = (schema['required'] ?? []) as string[];
      const fields = Object.entries((schema['properties'] ?? {}) as Record<string, Node>).map(
        ([name, inner]) => [name, fitting(inner)] as const,
      );
      return fc.record(Object.fromEntries(fields), { requiredKeys: required });
    }
    case 'array':
      return fc.array(fitting((schema['items'] ?? {}) as Node), { maxLength: 3 });
    case 'integer':
      return fc.integer({
        min: Math.max(number('minimum', 0), -1e9),
        max: Math.min(number('maximum', 1e9), 1e15),
      });
    case 'number':
      return fc.double({ min: number('minimum', -1e6), max: number('maximum', 1e6), noNaN: true });
    case 'boolean':
      return fc.boolean();
    case 'null':
      return fc.constant(null);
    case 'string':
      return typeof schema['pattern'] === 'string'
        ? fc.oneof(
            fc.stringMatching(/^[a-z0-9]{1,12}$/),
            fc.constantFrom('root', 'everyone', '10.0.0.0/8', '2027-01-31T00:00:00Z', 'a@b.example', '10.1.2.3', '443'),
          )
        : fc.oneof(fc.string({ maxLength: 20, unit: 'grapheme' }), fc.constantFrom('root', 'everyone', 'alice'));
    default:
      return anything;
  }
}

/** The same with one part put in place of another, left out or added. */
const spoilt = (value: Json): fc.Arbitrary<Json> =>
  fc.tuple(anything, fc.nat(1000), fc.constantFrom('replace', 'remove', 'add', 'nest')).map(([other, at, how]) => {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return other;
    const names = Object.keys(value);
    const copy: Record<string, Json> = { ...(value as Node) };
    const name = names[at % Math.max(names.length, 1)] ?? 'x';
    if (how === 'remove') Reflect.deleteProperty(copy, name);
    else if (how === 'add') copy[`unknown${at}`] = other;
    else if (how === 'nest') copy[name] = [copy[name] ?? null, other];
    else copy[name] = other;
    return copy;
  });

function checkAnswer(answer: Answer, what: string): void {
  assert.ok(
    answer.status >= 200 && answer.status < 500,
    `${what}: ${answer.status} ${answer.text}\n${world.logged.at(-1)}`,
  );
  assert.equal(answer.headers['x-content-type-options'], 'nosniff', what);
  assert.equal(answer.headers['cache-control'], 'no-store', what);
  assert.equal(answer.headers['set-cookie'], undefined, what);
  if (answer.status < 400) return;
  assert.equal(answer.headers['content-type'], 'application/problem+json', what);
  const checked = problem.safeParse(answer.body);
  assert.ok(checked.success, `${what}: ${answer.text}`);
  assert.equal(checked.data.status, answer.status);
}

for (const dialect of ['SQLite', 'PostgreSQL']) {
  describe(`requests on ${dialect}`, () => {
    let server: PostgresServer | undefined;
    before(async () => {
      if (dialect === 'PostgreSQL') server = await PostgresServer.start({ durable: false });
      world = await apiWorld(server === undefined ? {} : { url: await server.createDatabase() });
    });
    after(async () => {
      await world[Symbol.asyncDispose]();
      await server?.remove();
    });

    for (const contract of allRoutes) {
      const operation = document.paths[contract.path][contract.method.toLowerCase()] as Node;
      const parameters = (operation['parameters'] ?? []) as Node[];
      const body = (operation['requestBody'] as { content: Record<string, { schema: Node }> } | undefined)?.content[
        'application/json'
      ]?.schema;
      const queries = parameters.filter((p) => p['in'] === 'query');

      const bodyArbitrary: fc.Arbitrary<Json | undefined> =
        body === undefined
          ? fc.constant(undefined)
          : fc.oneof(anything, fitting(body), fitting(body).chain(spoilt), fitting(body).chain(spoilt));
      const queryArbitrary = fc.array(
        fc.tuple(
          fc.oneof(fc.constantFrom('after', 'limit', 'search', ...queries.map((p) => p['name'] as string)), nasty),
          nasty,
        ),
        { maxLength: 3 },
      );
      const pathArbitrary = fc.oneof(fc.constantFrom('root', 'everyone', 'internet', 'nothing'), nasty);

      describe(`${contract.method} ${contract.path}`, () => {
        test('answers whatever comes, never with a fault of its own', async () => {
          // Some of what is sent ends sessions.
          let token = await world.logIn('root');
          const request = fc.tuple(pathArbitrary, fc.oneof(fc.constant([]), queryArbitrary), bodyArbitrary, fc.nat(2));
          await fc.assert(
            fc.asyncProperty(request, async ([segment, query, sent, version]) => {
              const path = contract.path.replace(/\{\w+\}/g, encodeURIComponent(segment.toWellFormed()) || '%20');
              const search = new URLSearchParams(query.map(([n, v]) => [n, v] as [string, string])).toString();
              const target = search === '' ? path : `${path}?${search}`;
              const answer = await world.call(token, contract.method, target, sent, version);
              checkAnswer(answer, `${contract.method} ${target} ${JSON.stringify(sent)}`);
              if (answer.status === 401 || contract.id === 'logOut') token = await world.logIn('root');
            }),
            { seed, numRuns: 30 },
          );
        });

        if (body !== undefined) {
          test('refuses fields that it does not know, and what is no object', async () => {
            const token = await world.logIn('root');
            for (const sent of [{ thereIsNoSuchField: 1 }, null, [], 'text', 7]) {
              const answer = await world.call(
                token,
                contract.method,
                contract.path.replace(/\{\w+\}/g, 'root'),
                sent,
                1,
              );
              assert.equal(answer.status, 400, JSON.stringify(sent));
            }
          });
        }
        test('refuses parameters that it does not know, or that come twice', async () => {
          const token = await world.logIn('root');
          const path = contract.path.replace(/\{\w+\}/g, 'root');
          for (const search of ['thereIsNoSuchParameter=1', '__proto__=1', 'limit=1&limit=2']) {
            const answer = await world.call(
              token,
              contract.method,
              `${path}?${search}`,
              body === undefined ? undefined : {},
              1,
            );
            assert.equal(answer.status, 400, search);
          }
        });
      });
    }

    test('the audit log holds, and nothing went wrong within', async () => {
      const { body } = await world.call(await world.logIn('root'), 'GET', '/audit/verification');
      assert.equal(body['valid'], true);
      assert.deepEqual(
        world.logged.filter((line) => line.includes('"level":50')),
        [],
      );
    });
  });
}
