/**
 * One slab of bytes that every thread of the data plane sees at the same offsets.
 *
 * Packets, keys and tables live in it and are named by their byte offset (a parameter called `at`), so that
 * nothing is allocated and nothing is converted on the packet path. Multi-byte fields that Sallyport itself
 * lays out are little-endian; network headers are big-endian and go through `view`.
 */
export interface Memory {
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;
  readonly f64: Float64Array;
  readonly view: DataView;

  /**
   * Sums `length` bytes at `at` as 16-bit little-endian words for the internet checksum (RFC 1071), a last odd
   * byte counting as the low half of a word. The sum is not folded: at most 2^32 - 1 for `length` <= 65536.
   */
  sum(at: number, length: number): number;

  /** Copies `length` bytes from `from` to `to` (not overlapping) and returns their {@link Memory.sum}. */
  copyAndSum(to: number, from: number, length: number): number;
}
