/** Filters and patches of any shape, against a simple reference. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import type { Values } from '../../packages/control/src/scim/attributes.ts';
import { ScimFault } from '../../packages/control/src/scim/fault.ts';
import { parseFilter, parsePath } from '../../packages/control/src/scim/filter.ts';
import { matcherOf } from '../../packages/control/src/scim/matching.ts';
import { patched } from '../../packages/control/src/scim/patch.ts';
import { readResource } from '../../packages/control/src/scim/resource.ts';
import { USER_SCHEMA } from '../../packages/control/src/scim/schemas.ts';
import { fuzzScim } from '../fuzz/scim.ts';

const words = ['a', 'A', 'ab', 'B', 'ba', 'x"\\'];
const text = fc.constantFrom(...words);
const user = fc.record(
  {
    userName: text,
    title: text,
    active: fc.boolean(),
    name: fc.record({ givenName: text }),
    emails: fc.array(fc.record({ value: text, type: text }, { requiredKeys: ['value'] }), {
      minLength: 1,
      maxLength: 3,
    }),
  },
  { requiredKeys: ['userName'] },
);
type User = Partial<{
  userName: string;
  title: string;
  active: boolean;
  name: { givenName: string };
  emails: { value: string; type?: string }[];
}>;

/** A filter as text, and what it means. */
interface Case {
  readonly filter: string;
  readonly holds: (user: User) => boolean;
}

const texts: Record<string, (user: User) => (string | undefined)[]> = {
  userName: (u) => [u.userName],
  title: (u) => [u.title],
  'name.givenName': (u) => [u.name?.givenName],
  'urn:ietf:params:scim:schemas:core:2.0:User:title': (u) => [u.title],
  emails: (u) => (u.emails ?? []).map(({ value }) => value),
  'emails.type': (u) => (u.emails ?? []).map(({ type }) => type),
};
const operators: Record<string, (value: string, wanted: string) => boolean> = {
  eq: (value, wanted) => value === wanted,
  co: (value, wanted) => value.includes(wanted),
  sw: (value, wanted) => value.startsWith(wanted),
  ew: (value, wanted) => value.endsWith(wanted),
  gt: (value, wanted) => value > wanted,
  ge: (value, wanted) => value >= wanted,
  lt: (value, wanted) => value < wanted,
  le: (value, wanted) => value <= wanted,
};

const ofText = fc
  .tuple(fc.constantFrom(...Object.keys(texts)), fc.constantFrom(...Object.keys(operators)), text)
  .map(([path, operator, wanted]): Case => ({
    filter: `${path} ${operator} ${JSON.stringify(wanted)}`,
    holds: (u) =>
      texts[path](u).some(
        (value) => value !== undefined && operators[operator](value.toLowerCase(), wanted.toLowerCase()),
      ),
  }));
const unequal = fc.tuple(fc.constantFrom(...Object.keys(texts)), text).map(([path, wanted]): Case => ({
  filter: `${path} ne ${JSON.stringify(wanted)}`,
  holds: (u) => !texts[path](u).some((found) => found?.toLowerCase() === wanted.toLowerCase()),
}));
const present = fc.constantFrom(...Object.keys(texts)).map((path): Case => ({
  filter: `${path} PR`,
  holds: (u) => texts[path](u).some((value) => value !== undefined),
}));
const active = fc.boolean().map((value): Case => ({ filter: `active eq ${value}`, holds: (u) => u.active === value }));
const value = fc.tuple(text, text).map(([type, part]): Case => ({
  filter: `emails[type eq ${JSON.stringify(type)} and value co ${JSON.stringify(part)}]`,
  holds: (u) =>
    (u.emails ?? []).some(
      (email) =>
        email.type?.toLowerCase() === type.toLowerCase() && email.value.toLowerCase().includes(part.toLowerCase()),
    ),
}));
const { filters } = fc.letrec<{ filters: Case }>((tie) => ({
  filters: fc.oneof(
    { maxDepth: 5, withCrossShrink: true },
    ofText,
    unequal,
    present,
    active,
    value,
    tie('filters').map(({ filter, holds }): Case => ({ filter: `not (${filter})`, holds: (u) => !holds(u) })),
    fc.tuple(tie('filters'), tie('filters'), tie('filters')).map(([a, b, c]): Case => ({
      filter: `(${a.filter}) or (${b.filter}) AND (${c.filter})`,
      holds: (u) => a.holds(u) || (b.holds(u) && c.holds(u)),
    })),
  ),
}));

test('a filter fits what it says', () => {
  let some = 0;
  fc.assert(
    fc.property(user, filters, (u, { filter, holds }) => {
      fc.pre(filter.length <= 1000);
      const fits = matcherOf(USER_SCHEMA, parseFilter(filter))(u);
      assert.equal(fits, holds(u), filter);
      if (fits) some++;
    }),
    { numRuns: 5000 },
  );
  assert.ok(some > 500);
});

test('whatever is sent, a filter and a path are understood or refused', () => {
  const pieces = fc.array(
    fc.oneof(
      fc.constantFrom('userName', 'emails', '[', ']', '(', ')', ' ', ' eq ', ' and ', ' not ', 'pr', '.', ':', '"', '\\', '"a"', 'true', '1e5', '-', '\u0000', '__proto__', '$ref', 'urn:'), // prettier-ignore
      fc.string({ maxLength: 5 }),
    ),
    { maxLength: 40 },
  );
  fc.assert(
    fc.property(pieces, (list) => {
      for (const read of [(t: string) => matcherOf(USER_SCHEMA, parseFilter(t))({ userName: 'a' }), parsePath]) {
        try {
          read(list.join(''));
        } catch (error) {
          if (!(error instanceof ScimFault) || error.status !== 400) throw error;
        }
      }
    }),
    { numRuns: 20_000 },
  );
});

const PATCH = 'urn:ietf:params:scim:api:messages:2.0:PatchOp';
const patch = (before: Values, ...operations: object[]): Values =>
  patched(USER_SCHEMA, before, { schemas: [PATCH], Operations: operations });
const resource = (u: object): Values => readResource(USER_SCHEMA, { schemas: [USER_SCHEMA.urn], ...u });

test('what was added and removed again leaves everything as it was', () => {
  const start = fc.tuple(user, fc.boolean()).map(([u, keeps]) => (keeps ? u : { userName: u.userName }));
  fc.assert(
    fc.property(start, text, (u, word) => {
      const before = resource(u);
      const original = structuredClone(before);
      const email = { value: `new ${word}`, type: 'new' };
      for (const [add, remove] of [
        [{ path: 'nickName', value: word }, { path: 'nickName' }],
        [{ value: { nickName: word } }, { path: 'nickName' }],
        [{ path: 'name.familyName', value: word }, { path: 'name.familyName' }],
        [{ path: 'name', value: { familyName: word } }, { path: 'name.familyName' }],
        [{ path: 'emails', value: [email] }, { path: 'emails[type eq "new"]' }],
        [{ path: 'emails[type eq "new"].value', value: word }, { path: 'emails[type eq "new"]' }],
        [
          { path: 'emails', value: [email] },
          { path: 'emails', value: [email] },
        ],
      ]) {
        assert.deepEqual(patch(before, { op: 'add', ...add }, { op: 'remove', ...remove }), original);
        assert.notDeepEqual(patch(before, { op: 'add', ...add }), original);
        // Added twice is added once.
        assert.deepEqual(
          patch(before, { op: 'add', ...add }, { op: 'add', ...add }),
          patch(before, { op: 'add', ...add }),
        );
      }
      // What was given is never changed itself.
      assert.deepEqual(before, original);
    }),
    { numRuns: 500 },
  );
});

test('whatever is sent as a patch is done or refused, and what comes of it can be sent again', () => {
  const { accepted, dropped } = fuzzScim(20_000, 1);
  assert.ok(accepted > 1000 && dropped > 1000, `${accepted} ${dropped}`);
});
