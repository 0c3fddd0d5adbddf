import { clientSource } from '../carrier/carrier-configuration.ts';

/** More than the carrier has connections. */
const MAX_SOURCES = 8_192;
/** 127.64.0.0/10, from which the carrier's connections come. */
const FROM_CARRIER = /^127\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./;
/** How long the carrier's word, which comes by another way than the connection, may be behind it. */
const BEHIND_MS = 2000;

/** Where clients come from: those over TCP from where the carrier says. */
export class ClientAddresses {
  readonly #sources = new Map<string, string>();
  /** Who waits for the carrier's word, by the local end; no more than there are logins under way. */
  readonly #awaited = new Map<string, PromiseWithResolvers<string>>();

  /** A message of the supervisor's. Others are passed over. */
  take(message: unknown): void {
    const { success, data } = clientSource.safeParse(message);
    if (!success) return;
    const { local, address } = data;
    // The newest last.
    this.#sources.delete(local);
    if (address === null) return;
    this.#sources.set(local, address);
    this.#awaited.get(local)?.resolve(address);
    if (this.#sources.size <= MAX_SOURCES) return;
    for (const oldest of this.#sources.keys()) {
      this.#sources.delete(oldest);
      break;
    }
  }

  /** Of the client that the gateway sees at `address` and `port`, at once where it is known. Empty where nobody says it. */
  of(address: string, port: number): string | Promise<string> {
    if (!FROM_CARRIER.test(address)) return address;
    const local = `${address}:${String(port)}`;
    return this.#sources.get(local) ?? (this.#awaited.get(local) ?? this.#await(local)).promise;
  }

  #await(local: string): PromiseWithResolvers<string> {
    const awaited = Promise.withResolvers<string>();
    this.#awaited.set(local, awaited);
    const timer = setTimeout(() => {
      awaited.resolve('');
    }, BEHIND_MS).unref();
    void awaited.promise.then(() => {
      clearTimeout(timer);
      this.#awaited.delete(local);
    });
    return awaited;
  }
}
