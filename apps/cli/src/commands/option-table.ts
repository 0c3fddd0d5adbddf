/** What commands say of themselves, taken out of their help: the manual and completions are made of it. */
import type { Command } from '../command.ts';

export interface OptionRow {
  /** Without hyphens. */
  readonly name: string;
  /** `NAME`, or undefined for a switch. */
  readonly value: string | undefined;
  readonly text: string;
}

export interface CommandText {
  readonly name: string;
  readonly usage: string;
  readonly summary: string;
  /** Paragraphs before the first list. */
  readonly description: readonly string[];
  readonly options: readonly OptionRow[];
  /** Other lists, as `Settings` or `Environment`: their lines as they are. */
  readonly lists: readonly { readonly title: string; readonly lines: readonly string[] }[];
  readonly examples: readonly string[];
}

/** Every command's help is one text: paragraphs, then blocks that begin with `Options:`, `Examples:` and the like. */
export function commandText(command: Command): CommandText {
  const { name, usage, summary, help } = command;
  const blocks = help.split('\n\n').filter((block) => !block.startsWith('Usage: ') && !block.startsWith('Exit codes:'));
  const isList = (block: string): boolean => /^[A-Z][^\n]*:[^\n]*\n {2}/.test(block);
  const lists = blocks.filter(isList).map((block) => {
    const [title = '', ...lines] = block.split('\n');
    return { title: title.slice(0, title.indexOf(':')), lines };
  });
  return {
    name,
    usage,
    summary,
    description: blocks.filter((block) => !isList(block)).map((block) => block.replaceAll('\n', ' ')),
    options: lists.filter(({ title }) => title === 'Options').flatMap(({ lines }) => optionRows(lines)),
    lists: lists.filter(({ title }) => title !== 'Options' && !title.startsWith('Example')),
    examples: lists
      .filter(({ title }) => title.startsWith('Example'))
      .flatMap(({ lines }) => lines.map((line) => line.trim())),
  };
}

/** `  --name VALUE  what it is`, which may go on in lines that are indented further. */
function optionRows(lines: readonly string[]): OptionRow[] {
  const rows: OptionRow[] = [];
  for (const line of lines) {
    const [, name, value, text = ''] =
      /^ {2}--([a-z0-9-]+)(?:, -\w)?(?: (\S(?:(?! {2}).)*))?(?: {2,}(.*))?$/.exec(line) ?? [];
    const last = rows.pop();
    if (name !== undefined) {
      if (last !== undefined) rows.push(last);
      rows.push({ name, value, text });
    } else if (last !== undefined) rows.push({ ...last, text: `${last.text} ${line.trim()}`.trim() });
  }
  return rows;
}
