import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { NetworkNamespace } from './namespace.ts';
import { readPcap, type CapturedPacket } from './pcap.ts';
import { CommandError, describeExit, until, type Process } from './process.ts';

/** What a capture saw. */
export interface CaptureResult {
  readonly packets: readonly CapturedPacket[];
  /** Packets that the kernel could not hand to tcpdump: with any, "not seen" proves nothing. */
  readonly dropped: number;
}

/** A running tcpdump. */
export class Capture {
  readonly #process: Process;
  readonly #path: string;

  private constructor(process: Process, path: string) {
    this.#process = process;
    this.#path = path;
  }

  static async start(namespace: NetworkNamespace, name: string): Promise<Capture> {
    const path = join(namespace.laboratory.folder, `${namespace.label}-${name}-${String(captures++)}.pcap`);
    // -Z root: otherwise tcpdump becomes a user who may not write into the laboratory's folder.
    const argv = ['tcpdump', '-Z', 'root', '-n', '-i', name, '-B', '16384', '-U', '-w', path, '--immediate-mode'];
    const tcpdump = await namespace.start(argv);
    await until('tcpdump', () => {
      if (tcpdump.exit !== undefined) throw new CommandError(argv, describeExit(tcpdump.exit), tcpdump.stderr);
      return tcpdump.stderr.includes('listening on');
    });
    return new Capture(tcpdump, path);
  }

  /** Ends the capture after a moment in which packets on the way still arrive, once tcpdump has written what there was. */
  async stop(): Promise<CaptureResult> {
    await new Promise((resolve) => setTimeout(resolve, 200));
    const then = await this.#askCounters();
    await until('tcpdump to have written what came', async () => {
      const now = await this.#askCounters();
      return now.captured + now.dropped >= then.received;
    });
    await this.#process.stop('SIGINT');
    const { dropped } = this.#counters().at(-1) ?? this.#withoutCounters();
    return { packets: readPcap(readFileSync(this.#path)), dropped };
  }

  async #askCounters(): Promise<Counters> {
    const { length } = this.#counters();
    this.#process.signal('SIGUSR1');
    return until('the counters of tcpdump', () => {
      if (this.#process.exit !== undefined) this.#withoutCounters();
      return this.#counters()[length];
    });
  }

  /** All that it has told: `received` is by the kernel. */
  #counters(): Counters[] {
    const lines =
      /(\d+) packets? captured\s*,?\s(\d+) packets? received by filter\s*,?\s(\d+) packets? dropped by kernel/g;
    return Array.from(this.#process.stderr.matchAll(lines), ([, ...numbers]) => {
      const [captured = 0, received = 0, dropped = 0] = numbers.map(Number);
      return { captured, received, dropped };
    });
  }

  #withoutCounters(): never {
    throw new CommandError(this.#process.argv, 'gave no counters', this.#process.stderr);
  }
}

interface Counters {
  readonly captured: number;
  readonly received: number;
  readonly dropped: number;
}

let captures = 0;
