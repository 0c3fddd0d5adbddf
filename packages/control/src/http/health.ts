export interface ReadinessCheck {
  readonly name: string;
  /** Settles when all is well, rejects when it isn't. */
  readonly check: () => Promise<void>;
}

export interface Readiness {
  readonly ready: boolean;
  readonly body: { readonly status: 'ready' | 'notReady'; readonly checks: Readonly<Record<string, 'ok' | 'failed'>> };
}

const checkTimeoutMs = 2_000;
const keepMs = 500;

/** Runs all checks side by side, at most once in half a second however often it is asked. Says which fail, not why. */
export function createHealth(checks: readonly ReadinessCheck[], now: () => number): () => Promise<Readiness> {
  let last: { readonly at: number; readonly result: Promise<Readiness> } | undefined;
  return () => {
    if (last === undefined || Math.abs(now() - last.at) >= keepMs) last = { at: now(), result: runChecks(checks) };
    return last.result;
  };
}

async function runChecks(checks: readonly ReadinessCheck[]): Promise<Readiness> {
  const results = await Promise.all(
    checks.map(async ({ name, check }): Promise<[string, 'ok' | 'failed']> => {
      let timer: NodeJS.Timeout | undefined;
      try {
        const late = new Promise<never>((_, reject) => {
          timer = setTimeout(() => reject(new Error('too slow')), checkTimeoutMs);
        });
        await Promise.race([check(), late]);
        return [name, 'ok'];
      } catch {
        return [name, 'failed'];
      } finally {
        clearTimeout(timer);
      }
    }),
  );
  const ready = results.every(([, result]) => result === 'ok');
  return { ready, body: { status: ready ? 'ready' : 'notReady', checks: Object.fromEntries(results) } };
}
