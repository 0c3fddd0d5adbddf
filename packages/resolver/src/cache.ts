import type { Answer } from './answer.ts';

export interface CacheLimits {
  readonly entries: number;
  readonly bytes: number;
}

interface Entry {
  readonly answer: Answer;
  readonly storedAtMs: number;
  readonly expiresAtMs: number;
  readonly bytes: number;
  /** Asked for since it was last passed over. */
  used: boolean;
}

export interface Cached {
  readonly answer: Answer;
  readonly ageSeconds: number;
}

/** What an entry takes beside its message and its key: the objects, the buffer's own, the place in the map. */
const ENTRY_BYTES = 400;
const MAX_MESSAGE_BYTES = 16 * 1024;
/** A time to live below the floor would have every question go out; above the ceiling a mistake would stay for good. */
const MIN_TTL_SECONDS = 5;
const MAX_TTL_SECONDS = 86_400;
/** RFC 2308 section 5 recommends one to three hours for what there isn't. */
const MAX_NEGATIVE_TTL_SECONDS = 3600;

/** Answers by question, until their time is over or others need the room; those not asked for go first. */
export class AnswerCache {
  readonly #limits: CacheLimits;
  readonly #entries = new Map<string, Entry>();
  #bytes = 0;

  constructor(limits: CacheLimits) {
    this.#limits = limits;
  }

  get size(): number {
    return this.#entries.size;
  }

  get bytes(): number {
    return this.#bytes;
  }

  get(key: string, nowMs: number): Cached | undefined {
    const entry = this.#entries.get(key);
    if (entry === undefined) return undefined;
    if (entry.expiresAtMs <= nowMs) {
      this.#remove(key, entry);
      return undefined;
    }
    entry.used = true;
    return { answer: entry.answer, ageSeconds: Math.floor((nowMs - entry.storedAtMs) / 1000) };
  }

  put(key: string, answer: Answer, nowMs: number): void {
    const { ttlSeconds, message, rcode } = answer;
    if (ttlSeconds <= 0 || message.length > MAX_MESSAGE_BYTES) return;
    const known = this.#entries.get(key);
    if (known !== undefined) this.#remove(key, known);
    const isNegative = rcode !== 0 || message.readUInt16BE(6) === 0;
    const ceiling = isNegative ? MAX_NEGATIVE_TTL_SECONDS : MAX_TTL_SECONDS;
    const seconds = Math.min(Math.max(ttlSeconds, MIN_TTL_SECONDS), ceiling);
    const bytes = message.length + key.length + answer.ttlOffsets.length * 8 + ENTRY_BYTES;
    this.#entries.set(key, { answer, storedAtMs: nowMs, expiresAtMs: nowMs + seconds * 1000, bytes, used: false });
    this.#bytes += bytes;
    while (this.#entries.size > this.#limits.entries || this.#bytes > this.#limits.bytes) this.#evict(nowMs);
  }

  #remove(key: string, entry: Entry): void {
    this.#entries.delete(key);
    this.#bytes -= entry.bytes;
  }

  /** The oldest goes, unless somebody asked for it: then it becomes the youngest once. */
  #evict(nowMs: number): void {
    for (const [key, entry] of this.#entries) {
      if (!entry.used || entry.expiresAtMs <= nowMs) {
        this.#remove(key, entry);
        return;
      }
      entry.used = false;
      this.#entries.delete(key);
      this.#entries.set(key, entry);
    }
  }
}
