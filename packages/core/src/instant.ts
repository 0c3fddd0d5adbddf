/**
 * A moment on a clock that never steps back and goes on while the machine sleeps (CLOCK_BOOTTIME), in
 * milliseconds, fractions included. It is comparable between threads of one process, not between machines.
 */
export type Instant = number;
