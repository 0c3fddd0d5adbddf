import type { SecureContext } from 'node:tls';
import type { Answer } from '../answer.ts';
import type { UpstreamAddress } from '../plan.ts';
import { RCODE } from '../wire.ts';
import { HttpsUpstream } from './https-upstream.ts';
import { StreamUpstream } from './stream-upstream.ts';
import { UdpUpstream } from './udp-upstream.ts';
import { UpstreamError, type Asked, type Upstream } from './upstream.ts';

/** How often one question is asked, of whomever; and how long all that may take. */
const MAX_TRIES = 4;
const MIN_TRIES = 3;
const MAX_MS = 6000;
/** A name server that was silent so often in a row is asked after the others, for a while that grows. */
const MAX_SILENCES = 3;
const FIRST_REST_MS = 10_000;
const LAST_REST_MS = 300_000;

interface Member {
  readonly upstream: Upstream;
  silences: number;
  restMs: number;
  restsUntil: number;
}

/** Name servers that know the same: asked in their order, those that don't answer last. */
export class UpstreamGroup {
  readonly #members: readonly Member[];

  constructor(upstreams: readonly Upstream[]) {
    this.#members = upstreams.map((upstream) => ({ upstream, silences: 0, restMs: 0, restsUntil: 0 }));
  }

  /** Throws an {@link UpstreamError} where none answers. */
  async ask(asked: Asked): Promise<Answer> {
    const startedAt = performance.now();
    const order = this.#order(startedAt);
    const tries = order.length === 0 ? 0 : Math.min(Math.max(order.length, MIN_TRIES), MAX_TRIES);
    let failure: Answer | undefined;
    let error = new UpstreamError('broken');
    for (let i = 0; i < tries; i++) {
      const member = order[i % order.length];
      const remainingMs = startedAt + MAX_MS - performance.now();
      if (remainingMs <= 0) break;
      try {
        const answer = await member.upstream.ask(asked, Math.min(member.upstream.patienceMs, remainingMs));
        member.silences = 0;
        member.restMs = 0;
        member.restsUntil = 0;
        if (answer.rcode === RCODE.noError || answer.rcode === RCODE.nxDomain) return answer;
        failure ??= answer;
        // That it can't say is an answer too, which the next one is asked for once.
        if (i >= 1 || order.length === 1) break;
      } catch (caught) {
        if (!(caught instanceof UpstreamError)) throw caught;
        error = caught;
        if (caught.fault === 'closed') break;
        this.#note(member, caught);
      }
    }
    if (failure !== undefined) return failure;
    throw error;
  }

  #order(now: number): Member[] {
    const rests = (member: Member): boolean => member.restsUntil > now;
    return [...this.#members.filter((member) => !rests(member)), ...this.#members.filter(rests)];
  }

  #note(member: Member, { fault }: UpstreamError): void {
    member.silences += 1;
    if (fault === 'silent' && member.silences < MAX_SILENCES) return;
    const now = performance.now();
    // What was under way when it began to rest is no further proof.
    if (member.restsUntil > now) return;
    member.restMs = Math.min(Math.max(member.restMs * 2, FIRST_REST_MS), LAST_REST_MS);
    member.restsUntil = now + member.restMs;
  }

  close(): void {
    for (const { upstream } of this.#members) upstream.close();
  }
}

export function createUpstream(address: UpstreamAddress, context: SecureContext | undefined): Upstream {
  switch (address.kind) {
    case 'udp':
      return new UdpUpstream(address.host, address.port);
    case 'tls':
      return new StreamUpstream({ host: address.host, port: address.port, tls: { name: address.name, context } });
    case 'https':
      return new HttpsUpstream({ origin: address.origin, path: address.path, context });
  }
}
