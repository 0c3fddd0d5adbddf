/** Hears of changes from other control nodes by LISTEN, on a connection of its own that is opened again when it is lost. */
import pg from 'pg';
import type { Logger } from 'pino';
import { connectionOptions } from './postgres-dialect.ts';

export const CHANGE_CHANNEL = 'sallyport_change';

const firstRetryMs = 100;
const lastRetryMs = 5000;

export class PostgresListener {
  readonly #url: string;
  readonly #onVersion: (version: number) => void;
  readonly #onConnected: () => void;
  readonly #log: Pick<Logger, 'info' | 'warn'>;
  #client: pg.Client | undefined;
  #retry: NodeJS.Timeout | undefined;
  #retryMs = firstRetryMs;
  #closed = false;

  /**
   * @param onVersion called with the version of a change that was committed
   * @param onConnected called when it listens (again); what was said before went unheard
   */
  constructor(
    url: string,
    onVersion: (version: number) => void,
    onConnected: () => void,
    log: Pick<Logger, 'info' | 'warn'>,
  ) {
    this.#url = url;
    this.#onVersion = onVersion;
    this.#onConnected = onConnected;
    this.#log = log;
  }

  /** Settles once it listens, or the first attempt failed; it goes on trying by itself. */
  async connect(): Promise<void> {
    if (this.#closed) return;
    // It says nothing for long, so the limits of statements do not hold for it.
    const client = new pg.Client({ ...connectionOptions(this.#url), application_name: 'sallyport listener' });
    this.#client = client;
    let lost = false;
    const onLost = (error?: Error): void => {
      if (lost) return;
      lost = true;
      client.end().catch(() => undefined);
      if (this.#closed) return;
      if (this.#retryMs === firstRetryMs)
        this.#log.warn({ err: error }, 'the connection that hears of changes is lost');
      this.#retry = setTimeout(() => void this.connect(), this.#retryMs).unref();
      this.#retryMs = Math.min(this.#retryMs * 2, lastRetryMs);
    };
    client.on('error', onLost);
    client.on('end', () => onLost());
    client.on('notification', ({ payload }) => this.#onVersion(Number(payload)));
    try {
      await client.connect();
      await client.query(`LISTEN ${CHANGE_CHANNEL}`);
    } catch (error) {
      onLost(error as Error);
      return;
    }
    if (this.#retryMs !== firstRetryMs) this.#log.info('the connection that hears of changes is back');
    this.#retryMs = firstRetryMs;
    this.#onConnected();
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    await this.#client?.end().catch(() => undefined);
  }
}
