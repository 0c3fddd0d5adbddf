/** The API with SCIM clients, over HTTP. */
import assert from 'node:assert/strict';
import { randomBytes, randomUUID } from 'node:crypto';
import { routes } from '@sallyport/api';
import { SYSTEM } from '../../packages/control/src/store/store.ts';
import { apiWorld, type Answer, type ApiWorld } from './api-world.ts';
import { userRow } from './databases.ts';

export const USER_URN = 'urn:ietf:params:scim:schemas:core:2.0:User';
export const GROUP_URN = 'urn:ietf:params:scim:schemas:core:2.0:Group';
export const ENTERPRISE_URN = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User';
const PATCH_URN = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';

/** Resources, lists and errors together, as far as tests look into them. */
export interface ScimBody {
  readonly [name: string]: unknown;
  readonly schemas: readonly string[];
  readonly id: string;
  readonly userName: string;
  readonly active: boolean;
  readonly emails: readonly Readonly<Record<string, unknown>>[];
  readonly name: Readonly<Record<string, unknown>>;
  readonly members: readonly { readonly value: string; readonly type: string }[];
  readonly groups: readonly { readonly value: string; readonly display: string }[];
  readonly meta: Readonly<Record<'resourceType' | 'created' | 'lastModified' | 'location' | 'version', string>>;
  readonly totalResults: number;
  readonly startIndex: number;
  readonly itemsPerPage: number;
  readonly Resources: readonly ScimBody[];
  readonly status: string;
  readonly scimType: string;
  readonly detail: string;
}

export interface ScimAnswer extends Omit<Answer, 'body'> {
  readonly body: ScimBody;
}

export type Headers = Readonly<Record<string, string>>;

/** One client, as an identity provider is. */
export interface ScimClient {
  readonly id: string;
  readonly token: string;
  send(method: string, path: string, body?: unknown, headers?: Headers): Promise<ScimAnswer>;
  /** Throws unless it was created. */
  addUser(userName: string, more?: object): Promise<ScimBody>;
  addGroup(displayName: string, members?: readonly string[]): Promise<ScimBody>;
  patch(path: string, ...operations: readonly object[]): Promise<ScimAnswer>;
  /** The userNames or displayNames of what a filter finds. */
  find(kind: 'Users' | 'Groups', filter: string): Promise<unknown[]>;
}

export type ScimWorld = ApiWorld & {
  readonly root: string;
  addClient(name: string): Promise<ScimClient>;
  /** Many users of a client, put into the database as the client's requests would. Their ids. */
  addUsers(client: ScimClient, count: number): Promise<string[]>;
  /** A device in the database, of which there is nothing else. */
  addDevice(userId: string): Promise<string>;
};

export async function scimWorld(url: string): Promise<ScimWorld> {
  const world = await apiWorld({ url });
  let devices = 0;
  return Object.assign(world, {
    async addClient(name: string) {
      const { id, token } = await world.client(world.root).call(routes.createScimClient, { body: { name } });
      return scimClient(world, id, token);
    },
    async addUsers(client: ScimClient, count: number) {
      const ids = Array.from({ length: count }, () => randomUUID());
      await world.services.store.write(SYSTEM, async ({ db, now, changed }) => {
        for (let from = 0; from < count; from += 100) {
          const some = ids.slice(from, from + 100).map((id, index) => ({ id, name: `user${from + index}` }));
          await db
            .insertInto('user')
            .values(some.map(({ id, name }) => ({ ...userRow(id), name })))
            .execute();
          await db
            .insertInto('scim_user')
            .values(
              some.map(({ id, name }) => ({
                user_id: id,
                client_id: client.id,
                user_name: `${name}@example.com`,
                external_id: null,
                attributes: JSON.stringify({
                  active: true,
                  disabledHere: false,
                  resource: { userName: `${name}@example.com` },
                }),
                modified_at: now,
              })),
            )
            .execute();
        }
        for (const id of ids) changed('user', id);
      });
      return ids;
    },
    async addDevice(userId: string) {
      const number = ++devices;
      const id = `device-${number}`;
      await world.services.store.write(SYSTEM, async ({ db, now, changed }) => {
        await db
          .insertInto('device')
          .values({
            id,
            user_id: userId,
            name: 'laptop',
            public_key: randomBytes(32).toString('base64'),
            ipv4: `100.64.1.${number}`,
            ipv6: `fd00:5a11::1:${number}`,
            approved: 1,
            expires_at: null,
            bits_per_second: null,
            created_at: now,
            version: 1,
          })
          .execute();
        changed('device', id);
      });
      return id;
    },
  });
}

/** Undefined, in spite of its type, where the answer is empty. */
export function asScim(answer: Answer): ScimAnswer {
  return { ...answer, body: (answer.text === '' ? undefined : JSON.parse(answer.text)) as ScimBody };
}

function scimClient(world: ApiWorld, id: string, token: string): ScimClient {
  const client: ScimClient = {
    id,
    token,
    async send(method, path, body, headers = {}) {
      const answer = await world.send(method, `/scim/v2${path}`, {
        token,
        headers: { ...(body === undefined ? {} : { 'content-type': 'application/scim+json' }), ...headers },
        body: body === undefined || typeof body === 'string' ? body : JSON.stringify(body),
      });
      return asScim(answer);
    },
    async addUser(userName, more = {}) {
      const answer = await client.send('POST', '/Users', { schemas: [USER_URN], userName, ...more });
      assert.equal(answer.status, 201, answer.text);
      return answer.body;
    },
    async addGroup(displayName, members = []) {
      const answer = await client.send('POST', '/Groups', {
        schemas: [GROUP_URN],
        displayName,
        members: members.map((value) => ({ value })),
      });
      assert.equal(answer.status, 201, answer.text);
      return answer.body;
    },
    patch: (path, ...operations) => client.send('PATCH', path, { schemas: [PATCH_URN], Operations: operations }),
    async find(kind, filter) {
      const answer = await client.send('GET', `/${kind}?filter=${encodeURIComponent(filter)}`);
      assert.equal(answer.status, 200, answer.text);
      assert.equal(answer.body.totalResults, answer.body.Resources.length);
      return answer.body.Resources.map((resource) => resource[kind === 'Users' ? 'userName' : 'displayName']);
    },
  };
  return client;
}
