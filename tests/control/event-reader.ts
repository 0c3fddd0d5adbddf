/** Reads a stream of server-sent events over HTTP, as a browser does. */
import { request, type IncomingHttpHeaders, type IncomingMessage } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { PATIENCE_MS, until } from '@sallyport/netlab';

export interface ReadEvent {
  readonly name: string;
  readonly data: Record<string, unknown>;
  /** Milliseconds, as performance.now() has them. */
  readonly at: number;
}

export class EventReader {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly events: ReadEvent[] = [];
  text = '';
  ended = false;
  readonly #response: IncomingMessage;

  private constructor(response: IncomingMessage, paused: boolean) {
    this.#response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    response.on('error', () => undefined);
    response.once('close', () => (this.ended = true));
    if (paused) return;
    let rest = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      this.text += chunk;
      const blocks = (rest + chunk).split('\n\n');
      rest = blocks.pop() ?? '';
      for (const block of blocks) {
        const name = /^event: (.*)$/m.exec(block)?.[1];
        const data = /^data: (.*)$/m.exec(block)?.[1];
        if (name === undefined || data === undefined) continue;
        this.events.push({ name, data: JSON.parse(data) as Record<string, unknown>, at: performance.now() });
      }
    });
  }

  /** @param paused reads nothing of it */
  static open(port: number, token: string | undefined, { paused = false, method = 'GET' } = {}): Promise<EventReader> {
    return new Promise((resolve, reject) => {
      const headers = {
        accept: 'text/event-stream',
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
      };
      request({ method, host: '127.0.0.1', port, path: '/api/v1/events', headers, agent: false })
        .on('response', (response) => resolve(new EventReader(response, paused)))
        .on('error', reject)
        .end();
    });
  }

  named(name: string): ReadEvent[] {
    return this.events.filter((event) => event.name === name);
  }

  /** `KIND ID` of the changes so far. */
  get changes(): string[] {
    return this.named('change').map(({ data }) => `${String(data['kind'])} ${String(data['id'])}`.trim());
  }

  /** The first event of this name that fits. Throws after two minutes. */
  async next(name: string, fits: (data: Record<string, unknown>) => boolean = () => true): Promise<ReadEvent> {
    const deadline = performance.now() + PATIENCE_MS;
    for (;;) {
      const found = this.named(name).find(({ data }) => fits(data));
      if (found !== undefined) return found;
      if (performance.now() > deadline) throw new Error(`no such event ${name}: ${this.text}`);
      await sleep(2);
    }
  }

  /** Breaks it off, without a word to the server. */
  abort(): void {
    this.#response.destroy();
  }
}

/** Waits until something holds. Throws when it doesn't within two minutes. */
export async function eventually(what: string, holds: () => boolean): Promise<void> {
  await until(what, holds, PATIENCE_MS, 2);
}
