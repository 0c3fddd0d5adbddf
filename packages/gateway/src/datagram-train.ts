/** Sends a train: `length` bytes at `at`, datagrams of `segmentSize` bytes of which the last may be shorter. */
export interface TrainSink {
  send(at: number, length: number, segmentSize: number, path: number, ecn: number): void;
}

/** The kernel's limits for one UDP_SEGMENT call: datagrams, and bytes in all (65,535 less the IPv4 and UDP headers). */
const MAX_DATAGRAMS = 64;
const MAX_BYTES = 65_507;

/**
 * Joins sealed datagrams that lie one behind the other in memory, go the same way and have the same size to trains,
 * so that one system call sends up to 64 of them.
 */
export class DatagramTrains {
  readonly #sink: TrainSink;
  #at = 0;
  #length = 0;
  #segmentSize = 0;
  #count = 0;
  #path = 0;
  #ecn = 0;

  constructor(sink: TrainSink) {
    this.#sink = sink;
  }

  add(at: number, length: number, path: number, ecn: number): void {
    if (
      this.#count !== 0 &&
      this.#count < MAX_DATAGRAMS &&
      at === this.#at + this.#length &&
      length <= this.#segmentSize &&
      this.#length + length <= MAX_BYTES &&
      path === this.#path &&
      ecn === this.#ecn
    ) {
      this.#length += length;
      this.#count++;
      if (length < this.#segmentSize) this.flush();
      return;
    }
    this.flush();
    this.#at = at;
    this.#length = length;
    this.#segmentSize = length;
    this.#count = 1;
    this.#path = path;
    this.#ecn = ecn;
  }

  /** Sends what waits. */
  flush(): void {
    if (this.#count === 0) return;
    this.#count = 0;
    this.#sink.send(this.#at, this.#length, this.#segmentSize, this.#path, this.#ecn);
  }
}
