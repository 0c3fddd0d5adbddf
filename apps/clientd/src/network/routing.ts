/** Brings rules, routes and kernel settings of the client's into force, and takes away what a plan no longer names. */
import {
  ENTRY_ROUTE_TABLE,
  FIRST_RULE_PRIORITY,
  INNER_MARK,
  LAST_RULE_PRIORITY,
  OUTSIDE_MARK,
  SPLIT_MARK,
  TUNNEL_ROUTE_TABLE,
  type RoutePlan,
  type RouteSpec,
  type RuleSpec,
} from '@sallyport/client';
import type { CommandRunner, Ip, IpFamily } from '@sallyport/io';
import { formatIpPrefix, parseIpPrefix } from '@sallyport/wireguard';
import { messageOf } from '../failure.ts';
import { hasIpv6 } from './ipv6.ts';
import type { SavedSysctls } from './saved-sysctls.ts';

const TABLES: readonly number[] = [TUNNEL_ROUTE_TABLE, ENTRY_ROUTE_TABLE];
const MAIN_TABLE = 254;
const OUR_MARKS: readonly number[] = [OUTSIDE_MARK, INNER_MARK, SPLIT_MARK];
const FAMILIES: readonly IpFamily[] = [4, 6];
/** What rtnetlink numbers such a route's type as. */
const UNREACHABLE = '7';

type Fields = Readonly<Record<string, unknown>>;

/** What is in force of one family. Rules as `ip rule` takes them; routes by what the kernel tells them apart by. */
interface InForce {
  readonly rules: readonly string[];
  readonly routes: ReadonlyMap<string, RouteSpec>;
}

const NOTHING: InForce = { rules: [], routes: new Map() };

export class Routing {
  readonly #runner: CommandRunner;
  readonly #ip: Ip;
  readonly #sysctls: SavedSysctls;
  /** As far as this daemon knows; absent: to be asked, as at the start, where another daemon may have left something. */
  readonly #known = new Map<IpFamily, InForce>();
  #plan: RoutePlan | undefined;
  #queue: Promise<unknown> = Promise.resolve();

  constructor(runner: CommandRunner, ip: Ip, sysctls: SavedSysctls) {
    this.#runner = runner;
    this.#ip = ip;
    this.#sysctls = sysctls;
  }

  /**
   * What is new comes first, and what is old goes last: in between more leads into the tunnel, not less. Throws where
   * something new can't be had.
   */
  apply(plan: RoutePlan): Promise<void> {
    return this.#inTurn(async () => {
      this.#plan = plan;
      await this.#sysctls.apply(plan.sysctls);
      await this.#changeAll((family) => inForceBy(plan, family));
    });
  }

  /** Takes all of it away; what can't be found is gone already. */
  clear(): Promise<void> {
    return this.#inTurn(async () => {
      this.#plan = undefined;
      await this.#changeAll(() => NOTHING);
      await this.#sysctls.apply({});
    });
  }

  /** Asks the kernel anew, and puts back what is missing of what was applied; says whether something was. */
  putBack(): Promise<boolean> {
    return this.#inTurn(async () => {
      const plan = this.#plan;
      if (plan === undefined || !(await this.#isMissing(plan))) return false;
      await this.#changeAll((family) => inForceBy(plan, family));
      return true;
    });
  }

  async #isMissing(plan: RoutePlan): Promise<boolean> {
    let missing = false;
    for (const family of FAMILIES) {
      const there = await this.#look(family);
      if (there === undefined) continue;
      this.#known.set(family, there);
      const { rules, routes } = inForceBy(plan, family);
      missing ||= rules.some((rule) => !there.rules.includes(rule)) || [...routes.keys()].some((key) => !there.routes.has(key)); // prettier-ignore
    }
    return missing;
  }

  /** An interface went, and its routes with it. */
  forgetRoutes(): void {
    for (const [family, { rules }] of this.#known) this.#known.set(family, { rules, routes: new Map() });
  }

  #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }

  async #changeAll(wanted: (family: IpFamily) => InForce): Promise<void> {
    const change = async (family: IpFamily): Promise<void> => {
      try {
        await this.#change(family, wanted(family));
      } catch {
        // What was known was not so. Then what is old goes first, in one run.
        await this.#change(family, wanted(family), true);
      }
    };
    await Promise.all(FAMILIES.map(change));
  }

  async #change(family: IpFamily, wanted: InForce, oldFirst = false): Promise<void> {
    const there = this.#known.get(family) ?? (await this.#look(family));
    // A machine without the family needs none of it.
    if (there === undefined) {
      if (family === 6) return;
      throw new Error('routing rules do not work: is iproute2 there?');
    }
    // Until it is done, what there is isn't known.
    this.#known.delete(family);
    const added = [
      ...[...wanted.routes].filter(([key, route]) => !isSame(there.routes.get(key), route)).map(([, route]) => `route replace ${routeOf(route)}`), // prettier-ignore
      ...wanted.rules.filter((rule) => !there.rules.includes(rule)).map((rule) => `rule add ${rule}`),
    ];
    const removed = [
      ...there.rules.filter((rule, i) => !wanted.rules.includes(rule) || there.rules.indexOf(rule) !== i).map((rule) => `rule delete ${rule}`), // prettier-ignore
      ...[...there.routes].filter(([key]) => !wanted.routes.has(key)).map(([, route]) => `route delete ${routeOf({ ...route, mtu: undefined, source: undefined })}`), // prettier-ignore
    ];
    if (oldFirst) await this.#ip.batch(family, [...removed, ...added]);
    else {
      await this.#ip.batch(family, added);
      await this.#ip.batch(family, removed, true);
    }
    this.#known.set(family, wanted);
  }

  async #look(family: IpFamily): Promise<InForce | undefined> {
    const rules = await this.#list(['rule', 'show'], family);
    if (rules === undefined) return undefined;
    const routes = new Map<string, RouteSpec>();
    for (const table of TABLES) {
      for (const fields of (await this.#list(['route', 'show', 'table', String(table)], family)) ?? []) {
        const route = routeFrom(fields, table, family);
        if (route !== undefined) routes.set(keyOf(route), route);
      }
    }
    return { rules: rules.filter(isOurs).map(ruleText), routes };
  }

  /** Undefined where the machine doesn't answer, as one without the family. */
  async #list(args: readonly string[], family: IpFamily): Promise<Fields[] | undefined> {
    try {
      const output = await this.#runner.query('ip', ['-N', '-json', `-${String(family)}`, ...args]);
      return output.trim() === '' ? [] : (JSON.parse(output) as Fields[]);
    } catch (error) {
      // A table that was never used.
      return /FIB table does not exist/.test(messageOf(error)) ? [] : undefined;
    }
  }
}

function inForceBy(plan: RoutePlan, family: IpFamily): InForce {
  // An interface without IPv6 takes no route of it: what is left says that there is no way.
  const can = (device: string | undefined): boolean => family === 4 || device === undefined || hasIpv6(device);
  const routes = plan.routes.filter((route) => route.family === family && can(route.interface));
  return {
    rules: plan.rules.filter((rule) => rule.family === family).map(ruleOf),
    routes: new Map(routes.map((route) => [keyOf(route), route])),
  };
}

/** As `ip rule add` takes it, always in the same way: rules are told apart by it. */
function ruleOf({ priority, fwmark, to, table }: RuleSpec): string {
  const mark = fwmark === undefined ? '' : ` fwmark 0x${fwmark.toString(16)}`;
  return `priority ${String(priority)}${to === undefined ? '' : ` to ${canonical(to)}`}${mark} table ${String(table)}`;
}

/** The same of what `ip -N -json rule show` says. */
function ruleText(rule: Fields): string {
  const { priority, dst, dstlen, fwmark, table } = rule;
  const whole = String(dst).includes(':') ? 128 : 32;
  const to =
    dst === undefined || dst === 'all'
      ? ''
      : ` to ${dst as string}/${String(typeof dstlen === 'number' ? dstlen : whole)}`;
  const mark = fwmark === undefined ? '' : ` fwmark ${fwmark as string}`;
  return `priority ${String(priority)}${to}${mark} table ${String(table)}`;
}

/** Others may use these priorities too, with marks and masks of their own. */
function isOurs({ priority, fwmark, fwmask, table }: Fields): boolean {
  if (typeof priority !== 'number' || priority < FIRST_RULE_PRIORITY || priority > LAST_RULE_PRIORITY) return false;
  if (fwmask !== undefined || (fwmark !== undefined && !OUR_MARKS.includes(Number(fwmark)))) return false;
  return [...TABLES, MAIN_TABLE].includes(Number(table));
}

function routeOf({ table, to, interface: device, source, mtu, metric }: RouteSpec): string {
  return [
    ...(device === undefined ? ['unreachable', to] : [to, 'dev', device]),
    ...['table', String(table), 'metric', String(metric)],
    ...(source === undefined || device === undefined ? [] : ['src', source]),
    ...(mtu === undefined || device === undefined ? [] : ['mtu', 'lock', String(mtu)]),
  ].join(' ');
}

/** A prefix in the one way in which we compare it. */
function canonical(text: string): string {
  const prefix = parseIpPrefix(text);
  return prefix === undefined ? text : formatIpPrefix(prefix);
}

/** What the kernel tells routes apart by. */
function keyOf({ table, to, interface: device, metric }: RouteSpec): string {
  return `${String(table)} ${canonical(to)} ${device ?? 'unreachable'} ${String(metric)}`;
}

function isSame(a: RouteSpec | undefined, b: RouteSpec): boolean {
  const source = (route: RouteSpec): string => canonical(`${route.source ?? ''}/${route.family === 4 ? '32' : '128'}`);
  return a !== undefined && a.mtu === b.mtu && source(a) === source(b);
}

/** What `ip -N -json route show` says of a route. */
function routeFrom(fields: Fields, table: number, family: IpFamily): RouteSpec | undefined {
  const { dst, dev, type, metric, prefsrc, metrics } = fields;
  if (typeof dst !== 'string') return undefined;
  const whole = family === 6 ? '128' : '32';
  const to = dst === 'default' ? (family === 6 ? '::/0' : '0.0.0.0/0') : dst.includes('/') ? dst : `${dst}/${whole}`;
  const mtu = Array.isArray(metrics) ? (metrics as Fields[]).find((one) => 'mtu' in one)?.['mtu'] : undefined;
  const unreachable = type === 'unreachable' || type === UNREACHABLE;
  return {
    table,
    family,
    to,
    interface: unreachable || typeof dev !== 'string' ? undefined : dev,
    source: typeof prefsrc === 'string' ? prefsrc : undefined,
    mtu: typeof mtu === 'number' ? mtu : undefined,
    metric: Number(metric ?? 0),
  };
}
