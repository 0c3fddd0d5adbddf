import { Arena, Clock } from '@sallyport/io';

const PAGE_BYTES = 65_536;

/** Milliseconds of a clock that goes on while the machine sleeps (CLOCK_BOOTTIME). */
export function bootClock(): () => number {
  const arena = Arena.create(PAGE_BYTES);
  const clock = new Clock(arena, arena.allocate(16));
  return () => clock.now();
}
