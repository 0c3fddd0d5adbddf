/**
 * Packets that are handled together. The bytes stay where they are in Memory; a batch names them.
 * `owner` is a session for IP packets, and the offset of a path record for datagrams.
 */
export class PacketBatch {
  readonly at: Int32Array;
  readonly length: Int32Array;
  readonly owner: Int32Array;
  readonly capacity: number;
  count = 0;

  constructor(capacity: number) {
    this.capacity = capacity;
    this.at = new Int32Array(capacity);
    this.length = new Int32Array(capacity);
    this.owner = new Int32Array(capacity);
  }

  /** Adds a packet; returns false, adding nothing, when the batch is full. */
  push(at: number, length: number, owner: number): boolean {
    const i = this.count;
    if (i === this.capacity) return false;
    this.at[i] = at;
    this.length[i] = length;
    this.owner[i] = owner;
    this.count = i + 1;
    return true;
  }
}
