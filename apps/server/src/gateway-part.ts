import { z } from 'zod';
import type { ClientSource } from './carrier/carrier-configuration.ts';
import { GATEWAY_EXIT, type GatewayConfigurationInput } from './gateway/gateway-configuration.ts';
import type { HelperConfiguration } from './helper-process.ts';
import { KeepRunning } from './keep-running.ts';
import type { Log } from './log.ts';
import { namesOrder } from './names/names-configuration.ts';
import type { NamesPart } from './names/names-part.ts';
import { isWithinPools } from './names/within-pools.ts';
import { plainText } from './plain-text.ts';
import { startGatewayProcesses, tearDown, type Started } from './processes.ts';
import { EXIT_FAILED, EXIT_NOT_PERMITTED, StartError } from './start-error.ts';

/** How long a gateway that has a state to serve may look for its control plane before it counts as ready without. */
const LINK_WAIT_MS = 3_000;

/** The form of GatewayMessage. */
const gatewayMessage = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready'), listenPort: z.number().int(), stateVersion: z.number() }),
  z.object({ kind: z.literal('link'), up: z.boolean() }),
  z.object({ kind: z.literal('failed'), message: plainText(2000) }),
  namesOrder,
]);

export interface GatewayFacts {
  readonly listenPort: number;
  /** Whether it reached its control plane. */
  readonly connected: boolean;
}

/** The gateway's process and its helper, kept running. */
export class GatewayPart {
  /** Rejects with a {@link StartError} where it ends before. */
  readonly ready: Promise<GatewayFacts>;
  /** Settles when it has ended for good: with the reason, or undefined where it was asked to. */
  readonly finished: Promise<StartError | undefined>;
  readonly #keeper: KeepRunning;
  readonly #helper: HelperConfiguration;
  readonly #log: Log;
  readonly #names: NamesPart | undefined;
  #processes: Started | undefined;
  #lastEnd = '';
  #stopping = false;
  /** Whether it was ever told what to do; what there is of its kind on this machine is somebody else's otherwise. */
  #wasLetLoose = false;

  /** `settings` is asked at each start; `names` does what the gateway says of names. */
  constructor(
    settings: () => Promise<Omit<GatewayConfigurationInput, 'helperFd'>>,
    helper: HelperConfiguration,
    log: Log,
    names?: NamesPart,
  ) {
    this.#names = names;
    this.#helper = helper;
    this.#log = log;
    const { promise, resolve, reject } = Promise.withResolvers<GatewayFacts>();
    this.ready = promise;
    promise.catch(() => undefined);
    let wasReady = false;
    let listenPort = 0;
    let reason: string | undefined;
    const setReady = (connected: boolean): void => {
      wasReady = true;
      resolve({ listenPort, connected });
    };
    const onMessage = (value: unknown): void => {
      // It parses what comes from the network, so it is not trusted to keep to the form.
      const { success, data: message } = gatewayMessage.safeParse(value);
      if (!success) {
        log('warn', 'the gateway said something that is not understood');
        return;
      }
      if (message.kind === 'names') {
        if (isWithinPools(message, helper.pools)) this.#names?.update(message);
        else log('warn', 'the gateway wants to answer names elsewhere than in its address pools, which it may not');
      } else if (message.kind === 'failed') reason = message.message;
      else if (message.kind === 'link') {
        if (message.up) setReady(true);
        else if (wasReady && !this.#stopping)
          log('warn', 'the gateway lost its control plane; it serves what it has, and tries again');
      } else {
        listenPort = message.listenPort;
        const servesAlready = message.stateVersion > 0;
        setTimeout(() => {
          if (wasReady) return;
          log('warn', 'the gateway does not reach its control plane yet; it goes on trying');
          if (servesAlready) setReady(false);
        }, LINK_WAIT_MS).unref();
      }
    };
    this.#keeper = new KeepRunning(
      'gateway',
      () => {
        const configuration = settings().then((given) => {
          this.#wasLetLoose = true;
          return given;
        });
        this.#processes = startGatewayProcesses(configuration, helper, onMessage);
        void this.#processes.ended.then((end) => {
          this.#lastEnd = end;
        });
        return this.#processes;
      },
      (end) => wasReady && end !== `exit code ${String(GATEWAY_EXIT.refused)}`,
      log,
    );
    this.finished = this.#keeper.finished.then((end) => {
      void names?.stop();
      if (end === undefined) return undefined;
      const refused = end === `exit code ${String(GATEWAY_EXIT.refused)}`;
      const message = reason ?? `the gateway ended before it was ready (${end})`;
      const error = new StartError(message, refused ? EXIT_NOT_PERMITTED : EXIT_FAILED);
      reject(error);
      return error;
    });
  }

  get pids(): Readonly<Record<string, number>> {
    return { ...this.#processes?.pids, ...this.#names?.pids };
  }

  /** Where a client over TCP comes from. */
  tellSource(source: ClientSource): void {
    this.#processes?.send(source);
  }

  expectEnd(): void {
    this.#names?.expectEnd();
    this.#keeper.expectEnd();
  }

  /** Ends it, and takes away what it left where it could not do so itself. */
  async stop(): Promise<void> {
    this.#stopping = true;
    await Promise.all([this.#keeper.stop(), this.#names?.stop()]);
    if (!this.#wasLetLoose || this.#lastEnd === `exit code ${String(GATEWAY_EXIT.done)}`) return;
    try {
      await tearDown(this.#helper);
    } catch (error) {
      this.#log(
        'error',
        `what the gateway set up is left behind: ${error instanceof Error ? error.message : String(error)}`,
      );
    }
  }
}
