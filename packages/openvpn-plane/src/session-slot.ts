import type { Instant, SessionHalf, SessionId, SessionOutbox } from '@sallyport/core';

/**
 * The session half of a plane that began without one, and may get another: a server whose keys have not come yet, a client
 * that connects again. What comes while there is none goes nowhere.
 */
export class SessionSlot implements SessionHalf {
  current: SessionHalf | undefined;

  noteBacklog(waiting: number, now: Instant): void {
    this.current?.noteBacklog(waiting, now);
  }

  handleControl(message: Uint8Array, path: number, now: Instant, out: SessionOutbox): void {
    this.current?.handleControl(message, path, now, out);
  }

  handleHold(packet: Uint8Array, session: SessionId, now: Instant, out: SessionOutbox): void {
    this.current?.handleHold(packet, session, now, out);
  }

  handleInner(message: Uint8Array, session: SessionId, now: Instant, out: SessionOutbox): void {
    this.current?.handleInner?.(message, session, now, out);
  }

  handleAttend(session: SessionId, now: Instant, out: SessionOutbox): void {
    this.current?.handleAttend(session, now, out);
  }

  handleTimeout(now: Instant, out: SessionOutbox): void {
    this.current?.handleTimeout(now, out);
  }

  pollTimeout(): ReturnType<SessionHalf['pollTimeout']> {
    return this.current?.pollTimeout();
  }
}
