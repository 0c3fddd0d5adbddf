/** The policy as one document: shown, replaced at once, and tried out. */
import { createHash } from 'node:crypto';
import { accessRoutes, type Policy, type PolicyChange, type PolicyCheck } from '@sallyport/api';
import { accessDifference, failingTests, type AccessModel } from '@sallyport/policy';
import type { Kysely } from 'kysely';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { checkVersion } from '../http/version.ts';
import * as testRepository from '../repositories/policy-tests.ts';
import { References } from '../repositories/references.ts';
import * as resourceRepository from '../repositories/resources.ts';
import * as ruleRepository from '../repositories/rules.ts';
import type { Services } from '../services.ts';
import type { Database } from '../store/schema.ts';
import type { Writing } from '../store/store.ts';
import { Faults } from './faults.ts';
import { describeFailure, refuseBrokenTests, refuseTooMuch } from './policy-guard.ts';
import { policyTestValue, resourceValue, ruleValue, type RuleInput } from './policy-values.ts';

const ALL = ['user', 'group', 'resource', 'gateway'] as const;

async function readPolicy(db: Kysely<Database>): Promise<Policy> {
  const references = await References.read(db, ALL);
  const names = (kind: (typeof ALL)[number], ids: readonly string[]): string[] =>
    ids.map((id) => references.nameOf(kind, id));
  const sections = {
    resources: (await resourceRepository.allResources(db)).map(({ id: _id, version: _version, ...rest }) => rest),
    rules: (await ruleRepository.allRules(db)).map(({ name, enabled, groups, resources, gateways }) => ({
      name,
      enabled,
      groups: names('group', groups),
      resources: names('resource', resources),
      gateways: names('gateway', gateways),
    })),
    tests: (await testRepository.allPolicyTests(db)).map((test) => ({
      name: test.name,
      user: references.nameOf('user', test.userId),
      destination: test.destination,
      protocol: test.protocol,
      port: test.port,
      gateway: test.gatewayId === null ? null : references.nameOf('gateway', test.gatewayId),
      expect: test.expect,
    })),
  };
  // As many bits as a number holds exactly.
  const digest = createHash('sha256').update(JSON.stringify(sections)).digest('hex');
  return { version: parseInt(digest.slice(0, 12), 16), ...sections };
}

/**
 * Puts sections in the place of what there is; a section that is left out stays. What has the same name stays the same
 * thing: a rule goes on naming a resource that changes.
 */
async function replaceSections(writing: Writing, change: PolicyChange): Promise<void> {
  const { db } = writing;
  const faults = new Faults();
  const resources = await resourceRepository.allResources(db);
  const rules = await ruleRepository.allRules(db);
  const tests = await testRepository.allPolicyTests(db);

  await replace(writing, faults, 'resources', resources, change.resources, {
    value: (input, at) => resourceValue(input, at, faults),
    insert: resourceRepository.insertResource,
    update: resourceRepository.updateResource,
    // Those that rules still use are found below.
    remove: resourceRepository.deleteResource,
  });
  let references = await References.read(db, ALL);
  // Rules that stay are checked as well where resources change.
  const rulesNow: readonly RuleInput[] | undefined =
    change.rules ?? (change.resources === undefined ? undefined : rules);
  await replace(writing, faults, 'rules', rules, rulesNow, {
    value: (input, at) => ruleValue(input, references, at, faults),
    insert: ruleRepository.insertRule,
    update: ruleRepository.updateRule,
    remove: ruleRepository.deleteRule,
  });
  references = await References.read(db, ALL);
  const resourcesNow = await resourceRepository.allResources(db);
  await replace(writing, faults, 'tests', tests, change.tests, {
    value: (input, at) => policyTestValue(input, references, resourcesNow, at, faults),
    insert: testRepository.insertPolicyTest,
    update: testRepository.updatePolicyTest,
    remove: testRepository.deletePolicyTest,
  });
  faults.check();
}

interface Ways<Input, Value, Item> {
  readonly value: (input: Input, at: string) => Value;
  readonly insert: (writing: Writing, value: Value) => Promise<Item>;
  readonly update: (writing: Writing, before: Item, value: Value) => Promise<Item>;
  readonly remove: (writing: Writing, item: Item) => Promise<void>;
}

/** Goes on where there are faults, to find them all: the transaction is undone by them. */
async function replace<Input extends { name: string }, Value extends { name: string }, Item extends { name: string }>(
  writing: Writing,
  faults: Faults,
  section: string,
  items: readonly Item[],
  inputs: readonly Input[] | undefined,
  ways: Ways<Input, Value, Item>,
): Promise<void> {
  if (inputs === undefined) return;
  const old = new Map(items.map((item) => [item.name, item]));
  const seen = new Set<string>();
  const values: Value[] = [];
  inputs.forEach((input, i) => {
    const at = `/body/${section}/${String(i)}`;
    if (seen.has(input.name)) faults.add(`${at}/name`, `${input.name} is there twice`);
    else values.push(ways.value(input, at));
    seen.add(input.name);
  });
  // Tests come last, and one without its user can't be stored: all faults are found by now.
  if (section === 'tests') faults.check();
  for (const item of items) if (!seen.has(item.name)) await ways.remove(writing, item);
  for (const value of values) {
    const before = old.get(value.name);
    if (before === undefined) await ways.insert(writing, value);
    else if (!isSame(before, value)) await ways.update(writing, before, value);
  }
}

function isSame(item: object, value: object): boolean {
  return Object.entries(value).every(
    ([key, part]) => JSON.stringify((item as Record<string, unknown>)[key]) === JSON.stringify(part),
  );
}

/** Ends a transaction that was only tried out. */
class TriedOut extends Error {
  readonly model: AccessModel;

  constructor(model: AccessModel) {
    super('tried out');
    this.model = model;
  }
}

async function tryOut(services: Services, change: PolicyChange): Promise<AccessModel> {
  try {
    return await services.store.write(TRIAL, async (writing) => {
      await replaceSections(writing, change);
      throw new TriedOut(await services.directory.preview(writing));
    });
  } catch (error) {
    if (error instanceof TriedOut) return error.model;
    throw error;
  }
}

const TRIAL = { actor: { kind: 'system', id: null, name: 'policy check' }, via: 'system', address: null } as const;

async function check(services: Services, change: PolicyChange): Promise<PolicyCheck> {
  const before = services.directory.model;
  const after = await tryOut(services, change);
  refuseTooMuch(before, after);
  const { items, truncated } = accessDifference(before, after);
  const name = (kind: 'users' | 'resources' | 'gateways', id: string): string =>
    (after[kind].get(id) ?? before[kind].get(id))?.name ?? id;
  return {
    failingTests: failingTests(after).map(describeFailure),
    differences: items.map((item) => ({
      userName: name('users', item.userId),
      resourceName: name('resources', item.resourceId),
      change: item.change,
      gateways: item.gateways.map((id) => name('gateways', id)),
    })),
    truncated,
  };
}

export const policyRoutes: readonly RouteImplementation[] = [
  implement(accessRoutes.getPolicy, ({ services }) => readPolicy(services.store.db)),

  implement(accessRoutes.replacePolicy, ({ services, origin, body, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      checkVersion((await readPolicy(writing.db)).version, ifMatch);
      await replaceSections(writing, body);
      await refuseBrokenTests(services, writing);
      return await readPolicy(writing.db);
    }),
  ),

  implement(accessRoutes.checkPolicy, ({ services, body }) => check(services, body)),
];
