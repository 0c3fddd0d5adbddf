import { until, type Process } from '@sallyport/netlab';

/** Waits for the JSON that a server prints when it is ready. */
export async function announced<T>(what: string, process: Process): Promise<T> {
  await until(`${what} to be ready`, () => {
    if (process.exit !== undefined) throw new Error(`${what} ended: ${process.stderr}`);
    return /^\}\s*$|^\{.*\}\s*$/m.test(process.stdout);
  });
  return JSON.parse(process.stdout) as T;
}
