import type { z } from 'zod';
import { readIfThere, removeFile, replaceFile, replaceFileNow } from './durable-file.ts';

/** A value of the daemon's own in a file, for root alone. Secrets may be in it: faults are named without its contents. */
export class JsonFile<Schema extends z.ZodType> {
  readonly path: string;
  readonly #schema: Schema;
  #queue: Promise<void> = Promise.resolve();

  constructor(path: string, schema: Schema) {
    this.path = path;
    this.#schema = schema;
  }

  /** Undefined where there is none. Throws where it can't be read or isn't what this program wrote. */
  async read(): Promise<z.output<Schema> | undefined> {
    const text = await readIfThere(this.path);
    if (text === undefined) return undefined;
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch {
      throw new Error(`${this.path} is damaged: it is no JSON`);
    }
    const parsed = this.#schema.safeParse(value);
    if (parsed.success) return parsed.data;
    const where = parsed.error.issues[0]?.path.join('.') ?? '';
    throw new Error(`${this.path} is damaged${where === '' ? '' : ` at ${where}`}`);
  }

  write(value: z.input<Schema>): Promise<void> {
    return this.#inTurn(() => replaceFile(this.path, `${JSON.stringify(value)}\n`));
  }

  /** {@link write} before anything else happens: for what has to be on the disk before the machine is changed. */
  writeNow(value: z.input<Schema>): void {
    replaceFileNow(this.path, `${JSON.stringify(value)}\n`);
  }

  remove(): Promise<void> {
    return this.#inTurn(() => removeFile(this.path));
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const result = this.#queue.then(work);
    this.#queue = result.catch(() => undefined);
    return result;
  }
}
