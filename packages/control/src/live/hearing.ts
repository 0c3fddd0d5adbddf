/** Who hears of which change: who may read what changed, and everybody of what is their own. */
import type { EventData, Permission } from '@sallyport/api';
import { EVERYONE, type AccessModel } from '@sallyport/policy';
import type { Caller } from '../http/caller.ts';
import type { EntityKind } from '../store/store.ts';
import { eventText } from './event-stream.ts';

export interface HeardChange {
  readonly kind: EntityKind;
  readonly id: string;
}

/** What reads the entities of a kind. */
const readers: Readonly<Record<EntityKind, Permission>> = {
  user: 'users:read',
  group: 'groups:read',
  device: 'devices:read',
  region: 'gateways:read',
  gateway: 'gateways:read',
  resource: 'policy:read',
  rule: 'policy:read',
  policyTest: 'policy:read',
  settings: 'settings:read',
  usage: 'users:read',
  invitation: 'users:read',
  token: 'tokens:read',
  session: 'users:read',
  identityProvider: 'settings:read',
  scimClient: 'settings:read',
};

/** What everybody's gateways and limits follow from. */
const concernsAll: ReadonlySet<EntityKind> = new Set(['region', 'gateway', 'rule', 'settings']);

interface Prepared extends HeardChange {
  readonly text: string;
  readonly permission: Permission;
  /** Whose it is. */
  readonly userId: string | undefined;
}

export const EVERYTHING_CHANGED = eventText('change', { kind: 'everything', id: '' } satisfies EventData<'change'>);

/** Some changes, made ready to be told to many. `before` and `after` are the model without them and with them. */
export class Hearing {
  readonly #changes: readonly Prepared[];
  readonly #groups: readonly string[];
  readonly #concernAll: boolean;
  readonly #before: AccessModel;
  readonly #after: AccessModel;

  constructor(changes: readonly HeardChange[], before: AccessModel, after: AccessModel) {
    this.#before = before;
    this.#after = after;
    this.#changes = changes.map(({ kind, id }) => ({
      kind,
      id,
      text: eventText('change', { kind, id } satisfies EventData<'change'>),
      permission: readers[kind],
      userId: ownerOf(kind, id, before, after),
    }));
    this.#groups = changes.filter(({ kind }) => kind === 'group').map(({ id }) => id);
    this.#concernAll = changes.some(({ kind, id }) => concernsAll.has(kind) || (kind === 'group' && id === EVERYONE));
  }

  /** The events for a caller; empty where nothing is for them. */
  for(caller: Caller): string {
    const { userId, permissions } = caller;
    let text = '';
    let concerned = this.#concernAll || this.#groups.some((group) => this.#isMember(userId, group));
    for (const change of this.#changes) {
      if (!permissions.has(change.permission) && change.userId !== userId) continue;
      text += change.text;
      if (change.kind === 'user' && change.id === userId) concerned = false;
    }
    // What they may not read changes what is theirs: of that they hear, and not of its cause.
    if (concerned && permissions.has('self')) text += eventText('change', { kind: 'user', id: userId });
    return text;
  }

  /** Whether a caller may be somebody else after these changes. */
  concerns({ userId, credentialId }: Caller): boolean {
    return this.#changes.some(({ kind, id }) => {
      if (kind === 'user' || kind === 'session') return id === userId;
      if (kind === 'token') return id === credentialId;
      if (kind === 'group') return id === EVERYONE || this.#isMember(userId, id);
      return kind === 'identityProvider';
    });
  }

  #isMember(userId: string, group: string): boolean {
    return [this.#before, this.#after].some((model) => model.users.get(userId)?.groups.has(group) === true);
  }
}

function ownerOf(kind: EntityKind, id: string, before: AccessModel, after: AccessModel): string | undefined {
  if (kind === 'user' || kind === 'usage' || kind === 'session') return id;
  return kind === 'device' ? (after.devices.get(id) ?? before.devices.get(id))?.userId : undefined;
}
