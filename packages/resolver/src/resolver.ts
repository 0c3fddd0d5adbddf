import { Resolver as SystemResolver } from 'node:dns';
import type { SecureContext } from 'node:tls';
import { makeAnswer, writeAnswer, type Answer, type LocalAnswer, type Reader } from './answer.ts';
import { AnswerCache, type CacheLimits } from './cache.ts';
import { blockedAnswer, Hosts, localhostAnswer, longestSuffix, privateAnswer } from './local-names.ts';
import { NameSet } from './name-set.ts';
import { canonicalName, parseUpstream, type NamesPlan } from './plan.ts';
import type { Query } from './query.ts';
import { createUpstream, UpstreamGroup } from './upstream/upstream-group.ts';
import { UpstreamError } from './upstream/upstream.ts';
import { RCODE } from './wire.ts';

export interface ResolverOptions {
  readonly cache?: CacheLimits;
  /** Questions under way to name servers. */
  readonly maxPending?: number;
  /** Whose word counts for the certificates of name servers. By default Node's authorities. */
  readonly context?: SecureContext;
  /** Milliseconds that only grow. */
  readonly now?: () => number;
}

const CACHE: CacheLimits = { entries: 20_000, bytes: 16 * 1024 * 1024 };
const MAX_PENDING = 2048;
/** That nobody answered holds so long (RFC 9520 asks for a second at least). */
const FAILURE_TTL_MS = 2000;
const MAX_FAILURES = 1000;
/** What is under way when another plan comes has this long. */
const LAST_ANSWERS_MS = 8000;

/** Sums, without names and clients. */
export interface ResolverStatistics {
  questions: number;
  fromCache: number;
  blocked: number;
  failed: number;
}

/** Answers questions by a plan: by itself, from what it knows, or by asking name servers. Validates no signatures. */
export class Resolver {
  readonly statistics: ResolverStatistics = { questions: 0, fromCache: 0, blocked: 0, failed: 0 };
  readonly #options: ResolverOptions;
  readonly #now: () => number;
  #names: Names;
  #lists = NameSet.EMPTY;

  constructor(plan: NamesPlan, options: ResolverOptions = {}) {
    this.#options = options;
    this.#now = options.now ?? (() => performance.now());
    this.#names = new Names(plan, options);
  }

  /** From now on by this plan, with nothing known from before. */
  setPlan(plan: NamesPlan): void {
    const before = this.#names;
    this.#names = new Names(plan, this.#options);
    setTimeout(() => {
      before.close();
    }, LAST_ANSWERS_MS).unref();
  }

  /** The names of block lists, which holds for what is in the cache too. */
  setBlockLists(lists: NameSet): void {
    this.#lists = lists;
  }

  /** The message for the client: at once where it can be. */
  answer(query: Query, byUdp: boolean): Buffer | Promise<Buffer> {
    const reader: Reader = { query, byUdp };
    const { question } = query;
    this.statistics.questions += 1;
    const names = this.#names;
    const local = names.local(question.name, question.type, this.#lists);
    if (local !== undefined) {
      if (local.extendedError !== undefined) this.statistics.blocked += 1;
      return writeAnswer(reader, makeAnswer(question.bytes, local), 0);
    }
    const key = keyOf(query);
    const now = this.#now();
    const cached = names.cache.get(key, now);
    if (cached !== undefined) {
      this.statistics.fromCache += 1;
      return writeAnswer(reader, cached.answer, cached.ageSeconds);
    }
    return this.#ask(names, key, reader);
  }

  async #ask(names: Names, key: string, reader: Reader): Promise<Buffer> {
    const answer = await names.ask(key, reader.query, this.#now);
    if (answer !== undefined) return writeAnswer(reader, answer, 0);
    this.statistics.failed += 1;
    return writeAnswer(reader, makeAnswer(reader.query.question.bytes, { rcode: RCODE.servFail }), 0);
  }

  /** What is under way is not answered any more. */
  close(): void {
    this.#names.close();
  }
}

/** All on which an answer depends: the name, in whatever letters, the type, and what is asked of the signatures. */
function keyOf({ question, edns, checkingDisabled }: Query): string {
  const mark = (edns?.dnssecOk === true ? 1 : 0) + (checkingDisabled ? 2 : 0);
  return `${question.name} ${question.type} ${mark}`;
}

/** A plan, and what is known by it. */
class Names {
  readonly cache: AnswerCache;
  readonly #hosts: Hosts;
  readonly #blocked: ReadonlySet<string>;
  readonly #domains = new Map<string, UpstreamGroup>();
  readonly #upstreams: UpstreamGroup;
  readonly #maxPending: number;
  /** Equal questions wait for one answer. */
  readonly #pending = new Map<string, Promise<Answer | undefined>>();
  readonly #failures = new Map<string, number>();

  constructor(plan: NamesPlan, { cache = CACHE, maxPending = MAX_PENDING, context }: ResolverOptions) {
    this.cache = new AnswerCache(cache);
    this.#maxPending = maxPending;
    this.#hosts = new Hosts(plan.hosts);
    this.#blocked = new Set(plan.blocked.map(canonicalName));
    const group = (servers: readonly string[]): UpstreamGroup =>
      new UpstreamGroup(
        servers
          .map(parseUpstream)
          .flatMap((address) => (address === undefined ? [] : [createUpstream(address, context)])),
      );
    for (const { domain, servers } of plan.domains) this.#domains.set(canonicalName(domain), group(servers));
    this.#upstreams = group(plan.upstreams.length > 0 ? plan.upstreams : new SystemResolver().getServers());
  }

  /** The nearest rule: hosts, what the plan blocks, its domains, then what others have made up their mind about. */
  local(name: string, type: number, lists: NameSet): LocalAnswer | undefined {
    const known = localhostAnswer(name, type) ?? this.#hosts.find(name, type);
    if (known !== undefined) return known;
    if (longestSuffix(name, (suffix) => this.#blocked.has(suffix) || undefined) === true) return blockedAnswer();
    if (this.#domainOf(name) !== undefined) return undefined;
    if (lists.covers(name)) return blockedAnswer();
    return privateAnswer(name);
  }

  #domainOf(name: string): UpstreamGroup | undefined {
    return this.#domains.size === 0 ? undefined : longestSuffix(name, (suffix) => this.#domains.get(suffix));
  }

  /** Undefined where there is no answer. Never rejects. */
  ask(key: string, query: Query, now: () => number): Promise<Answer | undefined> {
    const pending = this.#pending.get(key);
    if (pending !== undefined) return pending;
    const failedUntil = this.#failures.get(key);
    if (failedUntil !== undefined && failedUntil > now()) return Promise.resolve(undefined);
    if (this.#pending.size >= this.#maxPending) return Promise.resolve(undefined);
    const asked = this.#askServers(key, query, now);
    this.#pending.set(key, asked);
    return asked;
  }

  async #askServers(key: string, query: Query, now: () => number): Promise<Answer | undefined> {
    const { question, edns, checkingDisabled } = query;
    try {
      const answer = await (this.#domainOf(question.name) ?? this.#upstreams).ask({
        // Its own copy, which is not that of a whole chunk of a stream.
        question: Buffer.from(question.bytes),
        dnssecOk: edns?.dnssecOk === true,
        checkingDisabled,
      });
      this.cache.put(key, answer, now());
      return answer;
    } catch (error) {
      if (!(error instanceof UpstreamError)) throw error;
      if (this.#failures.size >= MAX_FAILURES) this.#failures.clear();
      this.#failures.set(key, now() + FAILURE_TTL_MS);
      return undefined;
    } finally {
      this.#pending.delete(key);
    }
  }

  close(): void {
    this.#upstreams.close();
    for (const group of this.#domains.values()) group.close();
  }
}
