import { clientSource } from '../carrier/carrier-configuration.ts';

/** More than the carrier has connections. */
const MAX_SOURCES = 8_192;
/** 127.64.0.0/10, from which the carrier's connections come. */
const FROM_CARRIER = /^127\.(6[4-9]|[7-9]\d|1[01]\d|12[0-7])\./;

/** Where clients come from: those over TCP from where the carrier says. */
export class ClientAddresses {
  readonly #sources = new Map<string, string>();

  /** A message of the supervisor's. Others are passed over. */
  take(message: unknown): void {
    const { success, data } = clientSource.safeParse(message);
    if (!success) return;
    const { local, address } = data;
    // The newest last.
    this.#sources.delete(local);
    if (address === null) return;
    this.#sources.set(local, address);
    if (this.#sources.size <= MAX_SOURCES) return;
    for (const oldest of this.#sources.keys()) {
      this.#sources.delete(oldest);
      break;
    }
  }

  /** Of the client that the gateway sees at `address` and `port`. Empty where that is not known. */
  of(address: string, port: number): string {
    return FROM_CARRIER.test(address) ? (this.#sources.get(`${address}:${String(port)}`) ?? '') : address;
  }
}
