import type { EventData, Overview } from '@sallyport/api';
import type { AccessModel } from '@sallyport/policy';
import { ApiError } from '../http/api-error.ts';
import type { Caller } from '../http/caller.ts';
import { countedStatuses } from '../repositories/status.ts';
import type { Services } from '../services.ts';
import type { Change } from '../store/store.ts';
import { EventStream, eventText } from './event-stream.ts';
import { EVERYTHING_CHANGED, Hearing, type HeardChange } from './hearing.ts';
import { overviewOf } from './overview.ts';
import { Samples } from './samples.ts';

/** Changes that come so close together are told at once. */
const GATHER_MS = 50;
/** Above this they are told as `everything`. */
const MAX_CHANGES = 500;
const SAMPLE_MS = 5_000;
/** Proxies end a connection over which nothing goes. */
const HEARTBEAT_MS = 15_000;
/** Sessions also end by time alone. */
const RECHECK_MS = 30_000;
const RECHECKS_AT_ONCE = 8;
/** How soon a browser that lost its stream tries again. */
const RETRY_MS = 2_000;
const MAX_STREAMS = 2_000;
const MAX_STREAMS_OF_USER = 20;

export interface LiveFeedOptions {
  /** Of the software. */
  readonly version: string;
  /** For tests. Default: 5 seconds. */
  readonly sampleMs?: number;
  /** For tests. Default: 30 seconds. */
  readonly recheckMs?: number;
}

interface Reader {
  caller: Caller;
  /** Who it is now. Throws an ApiError where it may not read any more. */
  readonly recheck: () => Promise<Caller>;
  readonly stream: EventStream;
}

type Farewell = EventData<'bye'>['reason'];

/** What happens now, for the overview and the streams of events. */
export class LiveFeed {
  readonly #services: Services;
  readonly #options: LiveFeedOptions;
  readonly #samples: Samples;
  readonly #readers = new Set<Reader>();
  readonly #ofUser = new Map<string, number>();
  readonly #timers: readonly NodeJS.Timeout[];
  readonly #stopListening: () => void;
  /** What the readers were told of last, and what came since; undefined stands for everything. */
  #model: AccessModel;
  #pending: Map<string, HeardChange> | undefined = new Map();
  #gathering: NodeJS.Timeout | undefined;
  #telling = Promise.resolve();
  #sampling: Promise<void> | undefined;
  #sampleFails = false;
  #ended = false;

  constructor(services: Services, options: LiveFeedOptions) {
    const { sampleMs = SAMPLE_MS, recheckMs = RECHECK_MS } = options;
    this.#services = services;
    this.#options = options;
    this.#samples = new Samples(sampleMs);
    this.#model = services.directory.model;
    // After the directory: who then asks finds what it was told of.
    this.#stopListening = services.directory.onChange((changes, complete) => this.#hear(changes, complete));
    const every = (ms: number, work: () => unknown): NodeJS.Timeout => setInterval(() => void work(), ms).unref();
    this.#timers = [
      every(sampleMs, () => this.sample()),
      every(HEARTBEAT_MS, () => this.#sendAll(':\n\n')),
      every(recheckMs, () => this.#recheck([...this.#readers])),
    ];
    void this.sample();
  }

  /** Streams that are open. */
  get count(): number {
    return this.#readers.size;
  }

  /** The events for a caller until it is gone, or may do less than now. Throws an ApiError where there are too many. */
  open(caller: Caller, recheck: () => Promise<Caller>): AsyncIterable<string> {
    if (this.#ended) throw new ApiError('unavailable', 'The service is stopping.', { retryAfter: 2 });
    const { userId } = caller;
    const ofUser = this.#ofUser.get(userId) ?? 0;
    if (ofUser >= MAX_STREAMS_OF_USER || this.#readers.size >= MAX_STREAMS) {
      const whose = ofUser >= MAX_STREAMS_OF_USER ? 'You have' : 'This service has';
      throw new ApiError('tooManyRequests', `${whose} too many streams of events open: end one.`, { retryAfter: 30 });
    }
    const stream = new EventStream(() => {
      this.#readers.delete(reader);
      const left = (this.#ofUser.get(userId) ?? 1) - 1;
      if (left > 0) this.#ofUser.set(userId, left);
      else this.#ofUser.delete(userId);
    });
    const reader = { caller, recheck, stream };
    this.#readers.add(reader);
    this.#ofUser.set(userId, ofUser + 1);
    const hello: EventData<'hello'> = { version: this.#options.version };
    stream.send(`retry: ${RETRY_MS}\n${eventText('hello', hello)}`);
    return stream;
  }

  overview(caller: Caller): Promise<Overview> {
    return overviewOf(this.#services, this.#samples, caller);
  }

  /** Asks how the gateways fare, and tells who may know; by itself that happens every five seconds. */
  sample(): Promise<void> {
    return (this.#sampling ??= this.#sample().finally(() => (this.#sampling = undefined)));
  }

  /** Says goodbye to all readers, and takes no more. */
  end(): void {
    this.#ended = true;
    this.#stopListening();
    for (const timer of this.#timers) clearInterval(timer);
    clearTimeout(this.#gathering);
    for (const reader of this.#readers) dismiss(reader, 'shutdown');
  }

  /** Ends it, and settles once it asks the database nothing more. */
  async close(): Promise<void> {
    this.end();
    await Promise.all([this.#telling, this.#sampling]);
  }

  async #sample(): Promise<void> {
    const { store, now, log } = this.#services;
    try {
      const statuses = await countedStatuses(store.db, now());
      this.#sampleFails = false;
      if (this.#ended || statuses.size === 0) return;
      const text = eventText('sample', this.#samples.take(statuses, now()));
      this.#sendAll(text, ({ caller }) => caller.permissions.has('gateways:read'));
    } catch (error) {
      if (!this.#sampleFails && !this.#ended) log.warn({ err: error }, 'the gateways could not be asked for');
      this.#sampleFails = true;
    }
  }

  #sendAll(text: string, wanted: (reader: Reader) => boolean = () => true): void {
    for (const reader of this.#readers) if (wanted(reader)) reader.stream.send(text);
  }

  #hear(changes: readonly Change[], complete: boolean): void {
    if (complete) this.#pending = undefined;
    for (const { kind, id } of changes) this.#pending?.set(`${kind} ${id}`, { kind, id });
    if (this.#pending !== undefined && this.#pending.size > MAX_CHANGES) this.#pending = undefined;
    this.#gathering ??= setTimeout(() => {
      this.#gathering = undefined;
      this.#telling = this.#telling.then(() => this.#tell());
    }, GATHER_MS);
  }

  async #tell(): Promise<void> {
    const pending = this.#pending;
    const before = this.#model;
    this.#pending = new Map();
    this.#model = this.#services.directory.model;
    if (pending === undefined) {
      await this.#recheck([...this.#readers]);
      this.#sendAll(EVERYTHING_CHANGED);
      return;
    }
    const hearing = new Hearing([...pending.values()], before, this.#model);
    // Nobody hears by permissions that these changes took away.
    await this.#recheck([...this.#readers].filter(({ caller }) => hearing.concerns(caller)));
    for (const { caller, stream } of this.#readers) {
      const text = hearing.for(caller);
      if (text !== '') stream.send(text);
    }
  }

  /** Ends the streams of those that may not read any more, or less. Never rejects. */
  async #recheck(readers: Reader[]): Promise<void> {
    const work = async (): Promise<void> => {
      for (let reader = readers.pop(); reader !== undefined; reader = readers.pop()) {
        if (!reader.stream.ended) await this.#recheckOne(reader);
      }
    };
    await Promise.all(Array.from({ length: RECHECKS_AT_ONCE }, work));
  }

  async #recheckOne(reader: Reader): Promise<void> {
    try {
      const caller = await reader.recheck();
      const may = [...reader.caller.permissions].every((permission) => caller.permissions.has(permission));
      if (caller.userId !== reader.caller.userId || !may) dismiss(reader, 'permissions');
      else reader.caller = caller;
    } catch (error) {
      // Where the database is away nobody knows who this is.
      const left = error instanceof ApiError && error.code === 'loginRequired';
      if (!(error instanceof ApiError)) this.#services.log.warn({ err: error }, 'a stream of events was ended');
      dismiss(reader, left ? 'loggedOut' : 'permissions');
    }
  }
}

function dismiss({ stream }: Reader, reason: Farewell): void {
  stream.send(eventText('bye', { reason } satisfies EventData<'bye'>));
  stream.end();
}
