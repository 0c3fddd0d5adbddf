const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const frameMs = 80;

/** Prints one line a step: a spinner and the time while it runs (on a terminal), a check mark when it is done. */
export class Steps {
  readonly #stream: NodeJS.WriteStream;
  #spinner: NodeJS.Timeout | undefined;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
  }

  /** Does `work` under a title. `detail` says afterwards, behind the title, what came of it. */
  async step<T>(title: string, work: () => Promise<T>, detail?: (result: T) => string): Promise<T> {
    const started = performance.now();
    this.#spin(title, started);
    try {
      const result = await work();
      const behind = detail?.(result) ?? '';
      this.#line(this.#coloured(32, '✔'), `${title}${behind === '' ? '' : `: ${behind}`}`);
      return result;
    } catch (error) {
      this.#line(this.#coloured(31, '✘'), title);
      throw error;
    }
  }

  /** A line of its own. */
  note(text: string): void {
    this.#line(' ', text);
  }

  #spin(title: string, started: number): void {
    if (!this.#stream.isTTY) return;
    let frame = 0;
    const draw = () => {
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      const text = `${frames[frame++ % frames.length] ?? ''} ${title} ${seconds} s`;
      this.#stream.write(`\r\x1b[K${text.slice(0, this.#stream.columns - 1)}`);
    };
    draw();
    this.#spinner = setInterval(draw, frameMs);
  }

  #line(mark: string, text: string): void {
    clearInterval(this.#spinner);
    this.#stream.write(`${this.#stream.isTTY ? '\r\x1b[K' : ''}${mark} ${text}\n`);
  }

  #coloured(colour: number, text: string): string {
    return this.#stream.isTTY && process.env['NO_COLOR'] === undefined ? `\x1b[${String(colour)}m${text}\x1b[0m` : text;
  }
}
