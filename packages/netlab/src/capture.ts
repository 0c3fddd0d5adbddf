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

  /** Ends the capture after a moment in which packets on the way still arrive. */
  async stop(): Promise<CaptureResult> {
    await new Promise((resolve) => setTimeout(resolve, 200));
    await this.#process.stop('SIGINT');
    const dropped = /(\d+) packets? dropped by kernel/.exec(this.#process.stderr);
    if (dropped === null) throw new CommandError(this.#process.argv, 'gave no counters', this.#process.stderr);
    return { packets: readPcap(readFileSync(this.#path)), dropped: Number(dropped[1]) };
  }
}

let captures = 0;
