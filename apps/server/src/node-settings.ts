/*
 * How the supervisor has Node run the processes that it starts. The benches run theirs by it too, so it needs nothing else.
 */

/** V8's nursery, in megabytes: at its default of 16 each process keeps that much more, for garbage that is soon gone. */
export const NODE_OPTIONS: readonly string[] = ['--max-semi-space-size=2'];

/**
 * For the C library. Without the first each of a dozen threads keeps memory of its own at hand; without the second what
 * OpenSSL gives back in small pieces is kept apart, and joined at a high price again and again while many log in.
 */
export const MALLOC: Readonly<Record<string, string>> = {
  MALLOC_ARENA_MAX: '2',
  GLIBC_TUNABLES: 'glibc.malloc.mxfast=0',
};
