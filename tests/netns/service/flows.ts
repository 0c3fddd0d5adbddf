import assert from 'node:assert/strict';
import { join } from 'node:path';
import { until, type NetworkNamespace, type Process } from '@sallyport/netlab';
import { CUT_OFF_MS } from '../../../demo/scenarios/service/pulse.ts';

/** What arrived when: Unix milliseconds, ascending. */
export interface Flow {
  readonly name: string;
  arrivals(): readonly number[];
  /** What a flow that goes on has lost; empty when nothing. */
  losses(): string[];
  stop(): Promise<void>;
}

/** What a process has printed, line by line as `pattern` finds it; each line is read once, for flows go on for minutes. */
function readLines<T>(process: Process, pattern: RegExp, read: (match: RegExpExecArray) => T): () => T[] {
  const all: T[] = [];
  let at = 0;
  return () => {
    const end = process.stdout.lastIndexOf('\n') + 1;
    for (const match of process.stdout.slice(at, end).matchAll(pattern)) all.push(read(match));
    at = end;
    return all;
  };
}

/** A ping every 20 ms. */
async function startPing(machine: NetworkNamespace, address: string): Promise<Flow> {
  const process = await machine.start(['ping', '-D', '-n', '-O', '-i', '0.02', address]);
  const answers = readLines(process, /^\[(\d+\.\d+)\] \d+ bytes from \S+ icmp_seq=(\d+)/gm, ([, at, number]) => ({
    at: Number(at) * 1000,
    number: Number(number),
  }));
  return {
    name: `ping from ${machine.label} to ${address}`,
    arrivals: () => answers().map(({ at }) => at),
    losses: () => {
      // One that waited for a neighbour's address may be overtaken.
      const numbers = answers()
        .map(({ number }) => number)
        .sort((one, other) => one - other);
      // The number has 16 bits; nothing here runs for long enough that it would begin again.
      return numbers.flatMap((number, i) => {
        const before = numbers[i - 1] ?? 0;
        return number === before + 1
          ? []
          : [`${String(before + 1)} to ${String(number - 1)} of ${String(numbers.length)}`];
      });
    },
    stop: () => process.stop(),
  };
}

/** A transfer by TCP that the far end sends and this one verifies. */
async function startStream(machine: NetworkNamespace, address: string): Promise<Flow> {
  const client: Process = await machine.start([
    process.execPath,
    join(import.meta.dirname, 'stream-client.ts'),
    address,
  ]);
  return {
    name: `transfer to ${machine.label} from ${address}`,
    arrivals: readLines(client, /^(\d+) \d+$/gm, ([, at]) => Number(at)),
    losses: () => (client.exit === undefined ? [] : [client.stdout.slice(-100) + client.stderr]),
    stop: () => client.stop(),
  };
}

/** Starts {@link startStream} and {@link startPing} to each address, and waits until all flow. */
export async function startFlows(machine: NetworkNamespace, addresses: readonly string[]): Promise<Flows> {
  const flows: Flow[] = [];
  for (const address of addresses) {
    flows.push(await startPing(machine, address), await startStream(machine, address));
  }
  const all = new Flows(flows);
  await all.flowing();
  return all;
}

export class Flows {
  readonly flows: readonly Flow[];

  constructor(flows: readonly Flow[]) {
    this.flows = flows;
  }

  /** Waits until something new arrived, twenty times, in every flow. */
  async flowing(): Promise<void> {
    const before = this.flows.map((flow) => flow.arrivals().length);
    for (const [i, flow] of this.flows.entries()) {
      await until(flow.name, () => flow.arrivals().length >= (before[i] ?? 0) + 20);
    }
  }

  /**
   * That nothing arrives any more once it is cut off, since then (Unix milliseconds), by two seconds of silence; and how late
   * the last was. How soon that is the benchmark says: here a process may have no processor for a second.
   */
  async assertCutOff(since: number): Promise<number> {
    const late = (): number => Math.max(...this.flows.map((flow) => flow.arrivals().at(-1) ?? 0)) - since;
    while (late() < CUT_OFF_MS && Date.now() - since < Math.max(0, late()) + 2000) await sleep(50);
    assert.ok(late() < CUT_OFF_MS, `something arrived ${String(late())} ms later`);
    return late();
  }

  /** The longest time in which nothing arrived, of any flow, since then (Unix milliseconds). */
  longestGap(since: number): number {
    return Math.max(
      ...this.flows.map((flow) => {
        const times = [since, ...flow.arrivals().filter((at) => at >= since)];
        return Math.max(...times.map((at, i) => (times[i + 1] ?? Date.now()) - at));
      }),
    );
  }

  assertUndisturbed(): void {
    for (const flow of this.flows) assert.deepEqual(flow.losses(), [], flow.name);
  }

  async stop(): Promise<void> {
    for (const flow of this.flows) await flow.stop();
  }
}

/** Serves the transfers on a machine. */
export async function startStreamServer(machine: NetworkNamespace): Promise<void> {
  const server = await machine.start([process.execPath, join(import.meta.dirname, 'stream-server.ts')]);
  await until('the stream server', () => {
    if (server.exit !== undefined) throw new Error(server.stderr);
    return server.stdout.includes('ready');
  });
}

export function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
