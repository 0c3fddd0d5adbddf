/*
 * The lines of a configuration file as OpenVPN reads them (openvpn(8), "INLINE FILE SUPPORT" and the paragraphs on quoting):
 * words, of which some are quoted, and blocks `<name> … </name>`.
 */
import type { Remark } from './profile.ts';

/** One option of a file, or one that a server pushed. */
export interface Directive {
  /** From 1. */
  readonly line: number;
  readonly name: string;
  readonly args: readonly string[];
  /** The text of its block, each line with its end; undefined where it is none. */
  readonly block?: string;
}

/** More than a hundred certificates. */
export const MAX_PROFILE_LENGTH = 1024 * 1024;
/** OpenVPN's own are 256 and 16. */
const MAX_LINE_LENGTH = 4096;
const MAX_WORDS = 32;
const BLOCK_NAME = /^<([a-z0-9-]{1,64})>$/;

export interface Lexed {
  readonly directives: readonly Directive[];
  readonly faults: readonly Remark[];
}

/** Takes a file apart; `firstLine` is the number of its first. At most `maxFaults` faults: the rest is not read then. */
export function lexProfile(text: string, maxFaults: number, firstLine = 1): Lexed {
  const directives: Directive[] = [];
  const faults: Remark[] = [];
  const fault = (line: number, message: string): void => void faults.push({ line, message });
  const lines = text.replace(/^\uFEFF/, '').split('\n');
  for (let i = 0; i < lines.length && faults.length < maxFaults; i++) {
    const line = firstLine + i;
    const words = splitWords((lines[i] ?? '').trim());
    if (typeof words === 'string') {
      fault(line, words);
      continue;
    }
    const [first, ...args] = words;
    if (first === undefined) continue;
    const opened = args.length === 0 ? BLOCK_NAME.exec(first)?.[1] : undefined;
    if (opened === undefined) {
      if (first.startsWith('<')) fault(line, faultOfTag(first));
      else directives.push({ line, name: first.replace(/^--(?=.)/, ''), args });
      continue;
    }
    const end = `</${opened}>`;
    let last = i + 1;
    while (last < lines.length && !lines[last]?.trimStart().startsWith(end)) last++;
    if (last === lines.length) {
      fault(line, `the block <${opened}> has no end; write ${end} on a line of its own behind it`);
      break;
    }
    const block = lines.slice(i + 1, last).map((one) => `${one.replace(/\r$/, '')}\n`);
    directives.push({ line, name: opened, args: [], block: block.join('') });
    i = last;
  }
  return { directives, faults };
}

function faultOfTag(word: string): string {
  return word.startsWith('</')
    ? 'the end of a block that was not begun; remove the line'
    : 'no block begins like this; write its name alone on the line: <ca>';
}

/** The words of a line, none for a comment or an empty one; a text says what is wrong with it. */
export function splitWords(line: string): string[] | string {
  if (line.length > MAX_LINE_LENGTH) return `the line has more than ${String(MAX_LINE_LENGTH)} characters; shorten it`;
  if (/[\x00-\x08\x0e-\x1f]/.test(line)) return 'a control character; save the file as plain text';
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (isSpace(line[at])) at++;
    const first = line[at];
    if (first === undefined || first === '#' || first === ';') return words;
    if (words.length === MAX_WORDS)
      return `more than ${String(MAX_WORDS)} words; put the line into quotes, or shorten it`;
    const quote = first === '"' || first === "'" ? first : undefined;
    if (quote !== undefined) at++;
    let word = '';
    for (;;) {
      let char = line[at++];
      if (char === undefined) {
        if (quote === undefined) break;
        return `a quotation mark without its other; write ${quote} at the end as well`;
      }
      if (quote === undefined ? isSpace(char) : char === quote) break;
      if (char === '\\' && quote !== "'") {
        char = line[at++];
        if (char !== '\\' && char !== '"' && !isSpace(char)) {
          return 'a backslash stands before a quotation mark, a space or another backslash alone; write \\\\ for one';
        }
      }
      word += char ?? '';
    }
    words.push(word);
  }
}

function isSpace(char: string | undefined): boolean {
  return char === ' ' || char === '\t' || char === '\r' || char === '\v' || char === '\f';
}
