import type { NetworkNamespace, Process } from '@sallyport/netlab';

/** A ping every 20 ms, which tells how long there was no answer. */
export class Gap {
  readonly #process: Process;

  private constructor(process: Process) {
    this.#process = process;
  }

  static async start(machine: NetworkNamespace, address: string): Promise<Gap> {
    return new Gap(await machine.start(['ping', '-D', '-n', '-i', '0.02', address]));
  }

  /** When each answer came, in Unix milliseconds. */
  get answers(): readonly number[] {
    return [...this.#process.stdout.matchAll(/^\[(\d+\.\d+)\] \d+ bytes from/gm)].map(([, at]) => Number(at) * 1000);
  }

  /** When the first answer came to what was sent after this moment; undefined: none has come yet. */
  firstAfter(moment: number): number | undefined {
    const sent = [...this.#process.stdout.matchAll(/^\[(\d+\.\d+)\] \d+ bytes from .* time=([\d.]+) ms/gm)];
    for (const [, at, took] of sent) {
      if (Number(at) * 1000 - Number(took) > moment) return Number(at) * 1000;
    }
    return undefined;
  }

  /** The longest time between two answers, as far as it lies behind this moment; milliseconds. */
  longest(moment: number): number {
    const answers = this.answers.filter((at) => at >= moment);
    return answers.reduce((longest, at, i) => Math.max(longest, at - (answers[i - 1] ?? moment)), 0);
  }

  stop(): Promise<void> {
    return this.#process.stop();
  }
}
