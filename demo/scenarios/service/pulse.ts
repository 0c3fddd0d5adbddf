import type { NetworkNamespace, Process } from '@sallyport/netlab';

/** How soon somebody is cut off, at the latest: below a second by the benchmark, more where the machine does other things. */
export const CUT_OFF_MS = 3000;

/** A transfer in small steps: a ping every 20 ms, which tells when the last answer came. */
export class Pulse {
  readonly #process: Process;

  private constructor(process: Process) {
    this.#process = process;
  }

  static async start(namespace: NetworkNamespace, address: string): Promise<Pulse> {
    return new Pulse(await namespace.start(['ping', '-D', '-n', '-i', '0.02', address]));
  }

  get beats(): number {
    return this.#times().length;
  }

  /**
   * Ends it once somebody who was cut off then (Unix milliseconds) must be silent; how many milliseconds later the last answer
   * came.
   */
  async stopAfterCutOff(sentAt: number): Promise<number> {
    await new Promise((resolve) => setTimeout(resolve, CUT_OFF_MS + 1000));
    const last = this.#times().at(-1);
    await this.#process.stop();
    if (last === undefined) throw new Error('there was no answer at all');
    return last - sentAt;
  }

  #times(): number[] {
    return [...this.#process.stdout.matchAll(/^\[(\d+\.\d+)\] \d+ bytes from/gm)].map(([, at]) => Number(at) * 1000);
  }
}
