import { KeepRunning } from '../keep-running.ts';
import type { Log } from '../log.ts';
import { startCarrierProcess, type Started } from '../processes.ts';
import {
  carrierMessage,
  type CarrierConfiguration,
  type CarrierReady,
  type ClientSource,
} from './carrier-configuration.ts';

/** The carrier's process, kept running. A gateway goes on without it. */
export class CarrierPart {
  /** Undefined where it can't run: the log says why. */
  readonly ready: Promise<CarrierReady | undefined>;
  readonly #keeper: KeepRunning;
  #process: Started | undefined;

  /** `onReady` hears of each start: the port for the web server is another one then. */
  constructor(
    settings: CarrierConfiguration,
    { onReady, onSource }: { onReady: (ready: CarrierReady) => void; onSource: (source: ClientSource) => void },
    log: Log,
  ) {
    const { promise, resolve } = Promise.withResolvers<CarrierReady | undefined>();
    this.ready = promise;
    let wasReady = false;
    let reason: string | undefined;
    const onMessage = (value: unknown): void => {
      // It parses what comes from the network, so it is not trusted to keep to the form.
      const { success, data: message } = carrierMessage.safeParse(value);
      if (!success) return;
      if (message.kind === 'failed') reason = message.message;
      else if (message.kind === 'source') onSource(message);
      else {
        wasReady = true;
        onReady(message);
        resolve(message);
      }
    };
    this.#keeper = new KeepRunning(
      'carrier',
      () => {
        this.#process = startCarrierProcess(settings, onMessage);
        return this.#process;
      },
      () => wasReady,
      log,
    );
    void this.#keeper.finished.then((end) => {
      if (end !== undefined) log('error', `the tunnel over TLS is off: ${reason ?? end}`);
      resolve(undefined);
    });
  }

  get pids(): Readonly<Record<string, number>> {
    return this.#process?.pids ?? {};
  }

  expectEnd(): void {
    this.#keeper.expectEnd();
  }

  stop(): Promise<void> {
    return this.#keeper.stop();
  }
}
