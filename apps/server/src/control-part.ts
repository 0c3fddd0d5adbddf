import { unwatchFile, watchFile } from 'node:fs';
import type { WebTunnel } from './carrier/carrier-configuration.ts';
import type { Configuration } from './config/schema.ts';
import { controlMessage, type ControlConfiguration, type ControlMessage } from './control-configuration.ts';
import { KeepRunning } from './keep-running.ts';
import type { Log } from './log.ts';
import { startControlProcess, type Started } from './processes.ts';
import { readCertificateFiles } from './settings.ts';
import { StartError } from './start-error.ts';

/** Asking is robust where notification is not: certificates are replaced by moving links. */
const CERTIFICATE_POLL_MS = 5_000;

type Message<Kind extends ControlMessage['kind']> = Extract<ControlMessage, { kind: Kind }>;

/** What the control plane said when it was ready. */
export interface ControlFacts {
  readonly listening: Message<'listening'>;
  readonly ready: Message<'ready'>;
}

/** The control plane's process, kept running. */
export class ControlPart {
  /** Rejects with a {@link StartError} where it ends before. */
  readonly ready: Promise<ControlFacts>;
  /** What it says before it has its database. Rejects as {@link ready} does. */
  readonly listening: Promise<Message<'listening'>>;
  readonly #keeper: KeepRunning;
  readonly #log: Log;
  #process: Started | undefined;
  #watched: readonly string[] = [];
  #tunnel: WebTunnel | undefined;

  /** `settings` is asked at each start. */
  constructor(settings: () => ControlConfiguration, log: Log) {
    this.#log = log;
    const { promise, resolve, reject } = Promise.withResolvers<ControlFacts>();
    this.ready = promise;
    promise.catch(() => undefined);
    const listens = Promise.withResolvers<Message<'listening'>>();
    this.listening = listens.promise;
    listens.promise.catch(() => undefined);
    let listening: Message<'listening'> | undefined;
    let wasReady = false;
    let reason: string | undefined;
    const onMessage = (value: unknown): void => {
      // It parses what comes from the network, so it is not trusted to keep to the form.
      const { success, data: message } = controlMessage.safeParse(value);
      if (!success) return;
      if (message.kind === 'listening') {
        listening = message;
        listens.resolve(message);
      } else if (message.kind === 'waiting') log('warn', `the control plane waits: ${message.reason}`);
      else if (message.kind === 'failed') reason = message.message;
      else if (listening !== undefined) {
        wasReady = true;
        resolve({ listening, ready: message });
      }
    };
    this.#keeper = new KeepRunning(
      'control plane',
      () => {
        this.#process = startControlProcess(settings(), onMessage);
        if (this.#tunnel !== undefined) this.#process.send(this.#tunnel);
        return this.#process;
      },
      () => wasReady,
      log,
    );
    void this.#keeper.finished.then((end) => {
      const cause = reason ?? `the control plane ended before it was ready (${end ?? 'as asked'})`;
      reject(new StartError(cause));
      listens.reject(new StartError(cause));
    });
  }

  get pids(): Readonly<Record<string, number>> {
    return this.#process?.pids ?? {};
  }

  /** Hands over the certificate of these files whenever they change: only root need be able to read them. */
  watchCertificate(web: Configuration['web']): void {
    this.#watched = [web.certificate, web.key];
    const onChange = (): void => {
      try {
        this.#process?.send({ kind: 'certificate', ...readCertificateFiles(web) });
      } catch (error) {
        this.#log('warn', `the certificate is not renewed: ${error instanceof Error ? error.message : String(error)}`);
      }
    };
    for (const path of this.#watched) watchFile(path, { interval: CERTIFICATE_POLL_MS, persistent: false }, onChange);
  }

  /** Has it hand tunnels on, after each start. */
  handOver(tunnel: WebTunnel): void {
    this.#tunnel = tunnel;
    this.#process?.send(tunnel);
  }

  expectEnd(): void {
    this.#keeper.expectEnd();
  }

  async stop(): Promise<void> {
    for (const path of this.#watched) unwatchFile(path);
    await this.#keeper.stop();
  }
}
