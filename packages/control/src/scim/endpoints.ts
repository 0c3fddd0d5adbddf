/** SCIM 2.0 (RFC 7643, RFC 7644) for identity providers, each with a token and with users and groups of its own. */
import { hashToken, TOKEN_PREFIX } from '../auth/tokens.ts';
import { etagOf } from '../http/version.ts';
import type { Endpoint, EndpointRequest } from '../http/endpoint.ts';
import { findScimClient, noteScimClientUse } from '../repositories/scim-clients.ts';
import { baseOf, isId, unauthorized, type ScimRequest } from './context.ts';
import { resourceTypes, schemas, SCIM_PATH, serviceProviderConfig } from './discovery.ts';
import type { ResourceSchema, Values } from './attributes.ts';
import { SCIM_JSON, ScimFault, scimErrorAnswer } from './fault.ts';
import * as groups from './groups.ts';
import { listAnswer, projectionOfUrl } from './lists.ts';
import { GROUP_SCHEMA, USER_SCHEMA } from './schemas.ts';
import * as users from './users.ts';

export function scimEndpoints(): Endpoint[] {
  return [
    endpoint('GET', '/ServiceProviderConfig', (scim) => answer(scim, serviceProviderConfig(scim.base))),
    ...described('/ResourceTypes', resourceTypes),
    ...described('/Schemas', schemas),

    endpoint('GET', '/Users', async (scim) => answer(scim, await users.listUsers(scim))),
    endpoint('POST', '/Users', async (scim) =>
      created(scim, USER_SCHEMA, await users.createUser(scim, await body(scim))),
    ),
    endpoint('GET', '/Users/{id}', async (scim) => resource(scim, USER_SCHEMA, await users.getUser(scim, idOf(scim)))),
    endpoint('PUT', '/Users/{id}', async (scim) =>
      resource(scim, USER_SCHEMA, await users.replaceUser(scim, idOf(scim), await body(scim))),
    ),
    endpoint('PATCH', '/Users/{id}', async (scim) =>
      resource(scim, USER_SCHEMA, await users.patchUser(scim, idOf(scim), await body(scim))),
    ),
    endpoint('DELETE', '/Users/{id}', async (scim) => {
      await users.deleteUser(scim, idOf(scim));
      return nothing(scim);
    }),

    endpoint('GET', '/Groups', async (scim) => answer(scim, await groups.listGroups(scim))),
    endpoint('POST', '/Groups', async (scim) =>
      created(scim, GROUP_SCHEMA, await groups.createGroup(scim, await body(scim))),
    ),
    endpoint('GET', '/Groups/{id}', async (scim) => {
      const { has } = projectionOfUrl(GROUP_SCHEMA, scim.request.url);
      return resource(scim, GROUP_SCHEMA, await groups.getGroup(scim, idOf(scim), has));
    }),
    endpoint('PUT', '/Groups/{id}', async (scim) =>
      resource(scim, GROUP_SCHEMA, await groups.replaceGroup(scim, idOf(scim), await body(scim))),
    ),
    endpoint('PATCH', '/Groups/{id}', async (scim) => {
      const row = await groups.patchGroup(scim, idOf(scim), await body(scim));
      if (!scim.request.url.searchParams.has('attributes')) return nothing(scim, row.version);
      const { has } = projectionOfUrl(GROUP_SCHEMA, scim.request.url);
      return resource(scim, GROUP_SCHEMA, await groups.describeGroup(scim, row, has));
    }),
    endpoint('DELETE', '/Groups/{id}', async (scim) => {
      await groups.deleteGroup(scim, idOf(scim));
      return nothing(scim);
    }),

    // A client is no user (RFC 7644, 3.11).
    ...(['GET', 'POST', 'PUT', 'PATCH', 'DELETE'] as const).map((method) =>
      endpoint(method, '/Me', () => {
        throw new ScimFault(501, undefined, 'There is no /Me here: a token stands for a client, not for a user.');
      }),
    ),
  ];
}

function endpoint(
  method: Endpoint['method'],
  path: string,
  serve: (scim: ScimRequest) => Response | Promise<Response>,
): Endpoint {
  return {
    method,
    path: SCIM_PATH + path,
    serve: async (request) => serve(await authenticated(request)),
    answerError: (error, request, requestId) => scimErrorAnswer(error, request.headers, requestId),
  };
}

async function authenticated(request: EndpointRequest): Promise<ScimRequest> {
  const { services } = request;
  const token = /^Bearer +([A-Za-z0-9_-]{1,200})$/i.exec(request.header('authorization')?.trim() ?? '')?.[1];
  const { db } = services.store;
  const client = token?.startsWith(TOKEN_PREFIX.scim)
    ? await findScimClient(db, { tokenHash: hashToken(token) })
    : undefined;
  if (client === undefined) throw unauthorized();
  try {
    await noteScimClientUse(db, client, services.now());
  } catch (error) {
    // That a full disk keeps the time of last use from being written is no reason not to answer.
    services.log.warn({ err: error }, 'the time of last use could not be written');
  }
  return { request, services, client, base: baseOf(services) };
}

/** A list of descriptions, and each by its id. */
function described(path: string, make: (base: string) => readonly ({ readonly id: string } & object)[]): Endpoint[] {
  return [
    endpoint('GET', path, (scim) => {
      // RFC 7644, 4.
      if (scim.request.url.searchParams.has('filter'))
        throw new ScimFault(403, undefined, 'This list takes no filter.');
      const all = make(scim.base);
      return answer(scim, listAnswer(all.length, 1, all));
    }),
    endpoint('GET', `${path}/{id}`, (scim) => {
      const found = make(scim.base).find(({ id }) => id === scim.request.params['id']);
      if (found === undefined) throw new ScimFault(404, undefined, 'There is nothing at this address.');
      return answer(scim, found);
    }),
  ];
}

function body({ request }: ScimRequest): Promise<unknown> {
  return request.json(SCIM_JSON, 'application/json');
}

/** Throws where it can't be an id that was given here. */
function idOf({ request }: ScimRequest): string {
  const { id } = request.params;
  if (id === undefined || !isId(id)) throw new ScimFault(404, undefined, 'There is nothing at this address.');
  return id;
}

function answer({ request }: ScimRequest, value: object, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(value), {
    status,
    headers: { ...request.headers, ...headers, 'content-type': SCIM_JSON },
  });
}

/** A resource with its version, or that it has not changed (RFC 7644, 3.14). */
function resource(scim: ScimRequest, schema: ResourceSchema, value: Values, status = 200): Response {
  const { request } = scim;
  const { version: etag, location } = value['meta'] as { version: string; location: string };
  const seen =
    request
      .header('if-none-match')
      ?.split(',')
      .map((tag) => tag.trim().replace(/^W\//, '')) ?? [];
  if (request.method === 'GET' && seen.includes(etag.slice(2))) {
    return new Response(null, { status: 304, headers: { ...request.headers, etag } });
  }
  return answer(scim, projectionOfUrl(schema, request.url).apply(value), status, { etag, location });
}

function created(scim: ScimRequest, schema: ResourceSchema, value: Values): Response {
  return resource(scim, schema, value, 201);
}

function nothing({ request }: ScimRequest, version?: number): Response {
  const etag: Record<string, string> = version === undefined ? {} : { etag: `W/${etagOf(version)}` };
  return new Response(null, { status: 204, headers: { ...request.headers, ...etag } });
}
