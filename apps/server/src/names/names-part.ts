import { isDeepStrictEqual } from 'node:util';
import { KeepRunning } from '../keep-running.ts';
import type { Log } from '../log.ts';
import { startNamesProcess, type Started } from '../processes.ts';
import type { NamesOrder, NamesSettings } from './names-configuration.ts';

/** The process that answers names, kept running while the gateway wants it to. */
export class NamesPart {
  readonly #settings: NamesSettings;
  readonly #log: Log;
  #order: NamesOrder | undefined;
  #keeper: KeepRunning | undefined;
  #process: Started | undefined;
  /** One change after the other: two processes can't have one port. */
  #work: Promise<void> = Promise.resolve();
  #stopping = false;

  constructor(settings: NamesSettings, log: Log) {
    this.#settings = settings;
    this.#log = log;
  }

  get pids(): Readonly<Record<string, number>> {
    return this.#process?.pids ?? {};
  }

  /** What the gateway wants from now on. Other addresses take another process: this one can't take port 53 any more. */
  update(order: NamesOrder): void {
    this.#work = this.#work.then(async () => {
      const before = this.#order;
      this.#order = order;
      const { plan, clients } = order;
      const staysThere = isDeepStrictEqual(before?.addresses, order.addresses);
      if (plan === undefined || order.addresses.length === 0) await this.#end();
      else if (this.#keeper !== undefined && staysThere) this.#process?.send({ plan, clients });
      else {
        await this.#end();
        if (!this.#stopping) this.#keeper = this.#start();
      }
    });
  }

  #start(): KeepRunning {
    return new KeepRunning(
      'name server',
      () => {
        const { addresses = [], clients = [], plan } = this.#order ?? {};
        if (plan === undefined) throw new Error('nobody wants it');
        this.#process = startNamesProcess({ ...this.#settings, addresses, clients, plan });
        return this.#process;
      },
      () => true,
      this.#log,
    );
  }

  async #end(): Promise<void> {
    const keeper = this.#keeper;
    this.#keeper = undefined;
    await keeper?.stop();
    this.#process = undefined;
  }

  expectEnd(): void {
    this.#stopping = true;
    this.#keeper?.expectEnd();
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    this.expectEnd();
    this.#work = this.#work.then(() => this.#end());
    await this.#work;
  }
}
