// Patches of SCIM clients, put together from what has meaning and what has none. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import { SeededRandom } from '@sallyport/testkit';
import { ScimFault } from '../../packages/control/src/scim/fault.ts';
import { parseFilter } from '../../packages/control/src/scim/filter.ts';
import { matcherOf } from '../../packages/control/src/scim/matching.ts';
import { patched } from '../../packages/control/src/scim/patch.ts';
import { readResource } from '../../packages/control/src/scim/resource.ts';
import { USER_SCHEMA } from '../../packages/control/src/scim/schemas.ts';

export interface FuzzResult {
  /** Patches that were done. */
  readonly accepted: number;
  /** Those that were refused. */
  readonly dropped: number;
}

const PATCH = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';
const ENTERPRISE = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User';
const NAMES = ['userName', 'EMAILS', 'emails.value', 'name', 'name.givenName', 'active', 'title', 'externalId', 'id', 'groups', 'meta', 'members', ENTERPRISE, `${ENTERPRISE}:manager`, `${ENTERPRISE}:manager.value`, '__proto__', 'constructor', 'toString', 'emails[', '.', '']; // prettier-ignore
const FILTERS = ['[type eq "work"]', '[value pr]', '[not (type eq "home") and primary eq true]', '[a eq 1]', '[]', '[type eq "x" and value eq "y"]', '[', ']', '((']; // prettier-ignore
const TEXTS = ['work', 'home', 'a@example.com', '', 'False', '\u0000', '\ud800', 'x'.repeat(2000), 'm-1'];

/** Does or refuses `iterations` patches, one on the result of the other. Nothing but a fault of SCIM may be thrown. */
export function fuzzScim(iterations: number, seed: number): FuzzResult {
  const random = new SeededRandom(seed);
  let accepted = 0;
  let dropped = 0;
  let resource = readResource(USER_SCHEMA, { schemas: [USER_SCHEMA.urn], userName: 'ada' });
  for (let i = 0; i < iterations; i++) {
    const body = { schemas: [PATCH], Operations: Array.from({ length: 1 + random.below(3) }, () => operation(random)) };
    try {
      const before = JSON.stringify(resource);
      const after = patched(USER_SCHEMA, resource, body);
      assert.equal(JSON.stringify(resource), before);
      // What comes of it is a resource of the schema.
      assert.deepEqual(readResource(USER_SCHEMA, { schemas: [USER_SCHEMA.urn], ...after }), after);
      assert.equal(matcherOf(USER_SCHEMA, parseFilter('userName pr'))(after), true);
      assert.equal(Object.getPrototypeOf(after), Object.prototype);
      resource = after;
      accepted++;
    } catch (cause) {
      if (!(cause instanceof ScimFault) || cause.status !== 400) {
        throw new Error(`iteration ${i} of seed ${seed}: ${JSON.stringify(body)}: ${String(cause)}`, { cause });
      }
      dropped++;
    }
  }
  return { accepted, dropped };
}

function operation(random: SeededRandom): object {
  const path =
    random.pick(NAMES) + (random.chance(0.3) ? random.pick(FILTERS) : '') + (random.chance(0.2) ? '.value' : '');
  return {
    op: random.pick(['add', 'Replace', 'REMOVE', random.chance(0.1) ? 'move' : 'add']),
    ...(random.chance(0.7) ? { path } : {}),
    ...(random.chance(0.9) ? { value: value(random, 3) } : {}),
  };
}

function value(random: SeededRandom, depth: number): unknown {
  const kind = random.below(depth === 0 ? 3 : 6);
  if (kind === 0) return random.pick([true, false, null, 0]);
  if (kind < 3) return random.pick(TEXTS);
  if (kind === 3) return Array.from({ length: random.below(4) }, () => value(random, depth - 1));
  return Object.fromEntries(
    Array.from({ length: random.below(4) }, () => [
      random.pick([...NAMES, 'value', 'type', 'primary', 'emails[type eq "work"].value']),
      value(random, depth - 1),
    ]),
  );
}
