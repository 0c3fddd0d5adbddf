/** Lists of names: one a line, or in the form of a hosts file; `#` and `!` begin a comment. */

const NAME = /^(?=.{3,253}$)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9_-]{2,63}$/;
/** The addresses to which hosts files lead what they block. */
const NOWHERE = new Set(['0.0.0.0', '127.0.0.1', '::', '::1']);
/** Longer than any line with a name. */
const MAX_LINE_BYTES = 1024;

/** The names of a line, in lower case; undefined where it holds something else. No top-level domain is a name here. */
export function namesOfLine(line: string): string[] | undefined {
  const text = line.replace(/[#!].*$/, '').trim();
  if (text === '') return [];
  const words = text.toLowerCase().split(/\s+/);
  const isHosts = NOWHERE.has(words[0]) && words.length > 1;
  if (!isHosts && words.length > 1) return undefined;
  const names: string[] = [];
  for (const word of isHosts ? words.slice(1) : words) {
    const name = word.replace(/^\*\./, '').replace(/\.$/, '');
    if (NAME.test(name) && !/^[0-9.]+$/.test(name)) names.push(name);
    // What every hosts file has: localhost, broadcasthost, ip6-allnodes.
    else if (!isHosts) return undefined;
  }
  return names;
}

/** Reads a list as it comes. */
export class BlockListReader {
  readonly #add: (name: string) => boolean;
  #rest = '';
  #skips = false;
  names = 0;
  /** Lines that are none of a list. */
  faultyLines = 0;
  /** Whether there was no room for all of it. */
  isFull = false;

  constructor(add: (name: string) => boolean) {
    this.#add = add;
  }

  push(chunk: Buffer): void {
    const lines = (this.#rest + chunk.toString('latin1')).split('\n');
    this.#rest = lines.pop() ?? '';
    for (const line of lines) {
      if (this.#skips) this.#skips = false;
      else this.#take(line);
    }
    if (this.#rest.length <= MAX_LINE_BYTES) return;
    if (!this.#skips) this.faultyLines += 1;
    this.#skips = true;
    this.#rest = '';
  }

  end(): void {
    if (!this.#skips) this.#take(this.#rest);
    this.#rest = '';
  }

  #take(line: string): void {
    const names = namesOfLine(line);
    if (names === undefined) this.faultyLines += 1;
    else {
      for (const name of names) {
        if (this.#add(name)) this.names += 1;
        else this.isFull = true;
      }
    }
  }

  /** Whether it was a list at all, and not, say, the page of an error. */
  get isList(): boolean {
    return this.names > 0 && this.names > this.faultyLines;
  }
}
