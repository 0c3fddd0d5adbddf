import { addressOfBuffer, libc } from './libc.ts';

const MFD_CLOEXEC = 1;
const PROT_READ_WRITE = 3;
const MAP_SHARED = 0x01;
const MAP_FIXED = 0x10;
const MAP_32BIT = 0x40; // x86-64 alone has it; elsewhere the kernel passes over it
const MAP_NORESERVE = 0x4000;
const LOW_END = 2 ** 31;

/**
 * Gives a buffer that never moves, that of a WebAssembly.Memory whose bytes are still zero, a second address below
 * 2^31, and returns it; or the buffer's own where that can't be had.
 *
 * Why: a pointer below 2^31 is a small integer to V8. One above it is boxed as a heap number for every call, which is
 * an allocation for each of the dozen pointers that a packet takes, and about 8 ns each.
 */
export function lowAlias(buffer: ArrayBufferLike): number {
  const address = addressOfBuffer(buffer);
  const bytes = buffer.byteLength;
  const fd = libc.memfdCreate('sallyport', MFD_CLOEXEC);
  if (fd < 0) return address;
  try {
    if (libc.ftruncate(fd, bytes) < 0) return address;
    const low = libc.mmap(0, bytes, PROT_READ_WRITE, MAP_SHARED | MAP_32BIT | MAP_NORESERVE, fd, 0);
    if (low <= 0) return address;
    // The same pages take the place of the buffer's own.
    if (
      low + bytes <= LOW_END &&
      libc.mmap(address, bytes, PROT_READ_WRITE, MAP_SHARED | MAP_FIXED | MAP_NORESERVE, fd, 0) === address
    )
      return low;
    libc.munmap(low, bytes);
    return address;
  } finally {
    libc.close(fd);
  }
}
