/** Who reaches what, and which rule decides. */
import type { AccessModel, DeviceModel, UserModel } from '../model.ts';
import { appliesAt, compileRules } from './grants.ts';
import type { RulesByGroup } from './grants.ts';
import { admits } from './requirements.ts';
import { allowancesOf, parseTarget } from './reach.ts';
import type { Allowance, ParsedTarget, Target } from './reach.ts';
import { standingOf, userStandingOf, type Standing } from './standing.ts';

export interface AccessQuestion extends Target {
  readonly userId: string;
  /** Null: through any gateway. */
  readonly gatewayId: string | null;
}

export interface AccessAnswer {
  readonly verdict: 'allow' | 'deny';
  readonly reason:
    | 'rule'
    /** No rule allows it. */
    | 'noRule'
    /** Rules allow it, but not through this gateway, or through none that there is. */
    | 'otherGateway'
    /** Rules allow it, but nothing of the user's may connect now. */
    | 'standing'
    /** The destination is neither an address nor the name of a resource. */
    | 'unknownDestination'
    | 'unknownUser'
    | 'unknownGateway';
  /** The rule that allows it, of several the first by id, with the resource and group by which it does. */
  readonly ruleId: string | null;
  readonly resourceId: string | null;
  readonly groupId: string | null;
  /** With `standing`: what is wrong. */
  readonly standing: Standing | null;
  /** The gateways through which it is allowed. */
  readonly gateways: readonly string[];
  /** For people. */
  readonly text: string;
}

/** Whether a user reaches a target now, and why. Device standing counts: a user none of whose devices may connect reaches nothing. */
export function explain(model: AccessModel, question: AccessQuestion, now: number): AccessAnswer {
  const user = model.users.get(question.userId);
  if (user === undefined) return denied('unknownUser', 'There is no such user.');
  const answer = answerByRules(model, compileRules(model), user, parseTarget(model, question), question.gatewayId);
  return answer.verdict === 'deny' ? answer : withStanding(model, user, answer, now);
}

export interface Reacher {
  readonly userId: string;
  readonly answer: AccessAnswer;
}

/** Every user whom the rules let reach a target, with the rule that decides; those who may not connect now with verdict `deny`. */
export function whoCanReach(
  model: AccessModel,
  target: Target & { readonly gatewayId: string | null },
  now: number,
): readonly Reacher[] {
  const rules = compileRules(model);
  const parsed = parseTarget(model, target);
  const devices = new Map<string, DeviceModel[]>();
  for (const device of model.devices.values()) {
    const list = devices.get(device.userId);
    if (list === undefined) devices.set(device.userId, [device]);
    else list.push(device);
  }
  const reachers: Reacher[] = [];
  for (const user of model.users.values()) {
    const answer = answerByRules(model, rules, user, parsed, target.gatewayId);
    if (answer.verdict === 'deny') continue;
    reachers.push({ userId: user.id, answer: withStanding(model, user, answer, now, devices.get(user.id) ?? []) });
  }
  return reachers.sort((a, b) => (nameOf(model.users, a.userId) < nameOf(model.users, b.userId) ? -1 : 1));
}

/** The answer of the rules alone, whoever may connect now. */
export function answerByRules(
  model: AccessModel,
  rules: RulesByGroup,
  user: UserModel,
  target: ParsedTarget,
  gatewayId: string | null,
): AccessAnswer {
  const what = describe(target);
  if (gatewayId !== null && !model.gateways.has(gatewayId)) {
    return denied('unknownGateway', 'There is no such gateway.');
  }
  const allowances = allowancesOf(rules, user, target);
  if (allowances.length === 0) {
    if (target.address === undefined && !namesResource(model, target.destination)) {
      return denied(
        'unknownDestination',
        `${target.destination} is neither an address nor the DNS name of a resource; ask for an address that it resolves to.`,
      );
    }
    return denied('noRule', `No rule lets ${user.name} reach ${what}.`);
  }
  const ids = gatewayId === null ? [...model.gateways.keys()] : [gatewayId];
  const granting = ids.filter((id) => allowances.some(({ rule }) => appliesAt(rule, id)));
  const gateways = granting.filter((id) => {
    const gateway = model.gateways.get(id);
    return gateway !== undefined && admits(model, user, gateway);
  });
  if (granting.length > 0 && gateways.length === 0) {
    const where = granting.map((id) => nameOf(model.gateways, id));
    return denied(
      'otherGateway',
      `A rule lets ${user.name} reach ${what} through ${listed(where)}, but a group of ${user.name}’s demands another region or gateway.`,
    );
  }
  // Without any gateway yet, a rule for all gateways allows what it will allow at the first.
  const deciding = allowances.find(({ rule }) =>
    gateways.length === 0 ? rule.gateways.length === 0 : gateways.some((id) => appliesAt(rule, id)),
  );
  if (deciding === undefined) {
    const [first] = allowances as [Allowance];
    const elsewhere = first.rule.gateways.map((id) => nameOf(model.gateways, id)).join(', ');
    return denied(
      'otherGateway',
      `The rule ${first.rule.name} lets ${user.name} reach ${what}, but only through ${elsewhere}.`,
    );
  }
  const { rule, resource, group } = deciding;
  const through = gateways.map((id) => nameOf(model.gateways, id));
  return {
    verdict: 'allow',
    reason: 'rule',
    ruleId: rule.id,
    resourceId: resource.id,
    groupId: group,
    standing: null,
    gateways,
    text:
      `${user.name} reaches ${what}: the rule ${rule.name} gives the resource ${resource.name} ` +
      `to the group ${nameOf(model.groups, group)}, through ${listed(through)}.`,
  };
}

const STANDINGS: Record<Exclude<Standing, 'active'>, string> = {
  awaitingApproval: 'no device is approved',
  userDisabled: 'the user is disabled',
  userExpired: 'the user has expired',
  deviceExpired: 'every device has expired',
  certificateExpired: 'the certificate of every device has expired',
  loginRequired: 'the user must log in again',
  trafficUsedUp: "this month's traffic is used up",
};

function withStanding(
  model: AccessModel,
  user: UserModel,
  answer: AccessAnswer,
  now: number,
  devices = [...model.devices.values()].filter((device) => device.userId === user.id),
): AccessAnswer {
  const standings = [userStandingOf(model, user, now).standing];
  if (devices.length === 0)
    return standings[0] === 'active'
      ? { ...answer, text: `${answer.text} No device is there yet.` }
      : barred(standings[0]);
  for (const device of devices) standings.push(standingOf(model, device, now).standing);
  const [ofUser, ...ofDevices] = standings as [Standing, ...Standing[]];
  if (ofUser !== 'active') return barred(ofUser);
  return ofDevices.includes('active') ? answer : barred(ofDevices[0]);

  function barred(standing: Standing): AccessAnswer {
    const why = STANDINGS[standing as Exclude<Standing, 'active'>];
    return {
      ...answer,
      verdict: 'deny',
      reason: 'standing',
      standing,
      text: `The rules allow it, but ${why}. ${answer.text}`,
    };
  }
}

/** A target in words: `10.0.0.5 (tcp, port 443)`. */
export function describe(target: Target): string {
  const port = target.protocol === 'icmp' ? '' : target.port === null ? ', any port' : `, port ${String(target.port)}`;
  return `${target.destination} (${target.protocol}${port})`;
}

function denied(reason: AccessAnswer['reason'], text: string): AccessAnswer {
  return { verdict: 'deny', reason, ruleId: null, resourceId: null, groupId: null, standing: null, gateways: [], text };
}

function namesResource(model: AccessModel, name: string): boolean {
  for (const { kind, domain } of model.resources.values()) {
    if (kind === 'name' && domain?.toLowerCase() === name) return true;
  }
  return false;
}

function nameOf(entities: ReadonlyMap<string, { readonly name: string }>, id: string): string {
  return entities.get(id)?.name ?? id;
}

const MOST_NAMED = 10;

function listed(names: readonly string[]): string {
  if (names.length === 0) return 'every gateway that will be';
  const more = names.length - MOST_NAMED;
  return names.slice(0, MOST_NAMED).join(', ') + (more > 0 ? ` and ${String(more)} more` : '');
}
