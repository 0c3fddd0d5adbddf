/** `sallyport-clientd`: the daemon of the client. */

/** V8's nursery, in megabytes: at its default of 16 each thread keeps that much more, for garbage that is soon gone. */
const NURSERY = '--max-semi-space-size=1';

if (!process.execArgv.includes(NURSERY) && process.execve !== undefined) {
  const argv = [process.execPath, ...process.execArgv, NURSERY, ...process.argv.slice(1)];
  // For the C library: without it each of a dozen threads keeps memory of its own at hand.
  const environment = { ...process.env, MALLOC_ARENA_MAX: '2' };
  // The process stays the same one: nothing has to be told who it is.
  process.execve(process.execPath, argv, environment);
}

const { run } = await import('./run.ts');
process.exitCode = await run();
