import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import {
  allRoutes,
  createOpenApi,
  demandsVersion,
  entities,
  route,
  type Json,
  type RouteContract,
} from '@sallyport/api';
import { z } from 'zod';

const document = createOpenApi(allRoutes, '1.2.3');
type Node = Record<string, Json>;

/** Every object within, with its place. */
function* objects(value: Json, at = '#'): Generator<[string, Node]> {
  if (Array.isArray(value))
    for (const [index, item] of (value as Json[]).entries()) yield* objects(item, `${at}/${index}`);
  else if (typeof value === 'object' && value !== null) {
    yield [at, value as Node];
    for (const [key, item] of Object.entries(value)) yield* objects(item, `${at}/${key.replaceAll('/', '~1')}`);
  }
}

function resolve(reference: string): Json | undefined {
  return reference
    .slice(2)
    .split('/')
    .reduce<Json | undefined>(
      (node, part) => (node as Node | undefined)?.[part.replaceAll('~1', '/').replaceAll('~0', '~')],
      document as unknown as Json,
    );
}

const operations = Object.entries(document.paths).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, operation]) => ({ path, method, operation: operation })),
);

describe('the OpenAPI document', () => {
  test('has every route once, and nothing else', () => {
    assert.deepEqual(
      operations.map(({ operation }) => operation['operationId']).sort(),
      allRoutes.map(({ id }) => id).sort(),
    );
    assert.equal(new Set(operations.map(({ operation }) => operation['operationId'])).size, operations.length);
    assert.equal(document.openapi, '3.1.0');
  });

  test('resolves every reference', () => {
    let count = 0;
    for (const [at, node] of objects(document as unknown as Json)) {
      if (typeof node['$ref'] !== 'string') continue;
      count++;
      assert.ok(node['$ref'].startsWith('#/components/'), `${at}: ${node['$ref']}`);
      assert.notEqual(resolve(node['$ref']), undefined, `${at}: ${node['$ref']}`);
    }
    assert.ok(count > 100);
  });

  test('declares each parameter of a path, required', () => {
    for (const { path, operation } of operations) {
      const declared = ((operation['parameters'] ?? []) as Node[]).filter((p) => p['in'] === 'path');
      const names = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);
      assert.deepEqual(declared.map((p) => p['name']).sort(), names.sort(), path);
      assert.ok(declared.every((p) => p['required'] === true && p['schema'] !== undefined));
    }
  });

  test('takes no unknown field in any body', () => {
    for (const { operation } of operations) {
      const body = operation['requestBody'];
      if (body === undefined) continue;
      for (const [at, node] of objects(body)) {
        // What a browser says of a passkey is the form of another specification, which may grow.
        if (at.endsWith('/properties/response')) continue;
        if (node['type'] === 'object' && node['properties'] !== undefined) {
          assert.equal(node['additionalProperties'], false, `${operation['operationId'] as string} ${at}`);
        }
      }
    }
  });

  test('says what each answer is, problems among them', () => {
    for (const { operation, method } of operations) {
      const responses = operation['responses'] as Record<string, Node>;
      assert.ok(Object.keys(responses).some((status) => status.startsWith('2')));
      for (const status of ['400', '429', '500']) assert.ok(responses[status] !== undefined);
      const contract = allRoutes.find(({ id }) => id === operation['operationId'])!;
      const open = contract.permission === 'public';
      assert.equal(responses['401'] === undefined, open);
      assert.deepEqual(operation['security'], open ? [] : undefined);
      const ifMatch = ((operation['parameters'] ?? []) as Node[]).find((p) => p['name'] === 'If-Match');
      assert.equal(ifMatch !== undefined, demandsVersion(contract));
      assert.equal(responses['412'] !== undefined, demandsVersion(contract));
      assert.equal(operation['requestBody'] !== undefined, contract.body !== undefined);
      if (method === 'get') assert.equal(operation['requestBody'], undefined);
    }
  });

  test('shows no schema that says nothing, but where anything may stand', () => {
    for (const [at, node] of objects(document as unknown as Json)) {
      if (Object.keys(node).length > 0) continue;
      assert.match(at, /\/(before|after|example|security\/\d|items|additionalProperties|default)$|\/properties\//, at);
    }
  });

  test('has a command for every route, with names of its own and fields that there are', () => {
    const names = allRoutes.flatMap(({ command }) => command?.name ?? []);
    assert.equal(new Set(names).size, names.length);
    for (const { id, command, params, query, body } of allRoutes) {
      if (command === undefined) continue;
      const fields = [
        ...Object.keys(params?.shape ?? {}),
        ...Object.keys(query?.shape ?? {}),
        ...(body instanceof z.ZodObject ? Object.keys(body.shape) : []),
      ];
      for (const field of command.positional ?? []) assert.ok(fields.includes(field), `${id}: ${field}`);
      assert.ok(command.examples.length > 0, id);
      for (const example of command.examples)
        assert.ok(example.includes(`sallyport ${command.name}`), `${id}: ${example}`);
    }
  });

  test('is not made where two schemas of one name differ', () => {
    const other = z.strictObject({ something: z.string() }).meta({ id: 'User' });
    const make = (id: string, result: z.ZodType): RouteContract =>
      route({
        id,
        method: 'GET',
        path: `/${id}`,
        summary: '',
        permission: 'self',
        tag: 't',
        result,
      });
    assert.throws(() => createOpenApi([make('a', entities.user), make('b', other)], '0'), /User/);
  });
});
