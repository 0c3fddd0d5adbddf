/** What a terminal can show, and how it is told. */
export interface Style {
  /** Letters beyond ASCII. */
  readonly unicode: boolean;
  readonly colour: boolean;
}

/** How to write to a stream; NO_COLOR as no-color.org has it. */
export function styleFor(stream: { readonly isTTY?: boolean }, env: NodeJS.ProcessEnv = process.env): Style {
  const locale = env['LC_ALL'] || env['LC_CTYPE'] || env['LANG'] || '';
  return {
    unicode: /utf-?8/i.test(locale),
    colour: stream.isTTY === true && (env['NO_COLOR'] ?? '') === '' && env['TERM'] !== 'dumb',
  };
}

const colours = { red: 31, green: 32, yellow: 33, cyan: 36, faint: 2, bold: 1 } as const;
export type Colour = keyof typeof colours;

export function paint(text: string, colour: Colour, style: Style): string {
  return style.colour ? `\u001b[${String(colours[colour])}m${text}\u001b[0m` : text;
}

const signs = {
  ok: ['✓', 'ok', 'green'],
  warning: ['!', 'warning', 'yellow'],
  fault: ['✗', 'fault', 'red'],
  leak: ['✗', 'leak', 'red'],
  skipped: ['–', 'skipped', 'faint'],
} as const;
export type Sign = keyof typeof signs;

const signWidth = Math.max(...Object.values(signs).map(([, word]) => word.length));

/** A mark and, since colours and signs don't reach everybody, its word. */
export function sign(kind: Sign, style: Style): string {
  const [mark, word, colour] = signs[kind];
  return `${style.unicode ? `${paint(mark, colour, style)} ` : ''}${paint(word.padEnd(signWidth), colour, style)}`;
}

/** Text of others, that it may not steer the terminal. */
export function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}

/** The same of what may have several lines, which stay. */
export function printableLines(text: string): string {
  return text.split('\n').map(printable).join('\n');
}

/** The same of what may have several lines, as one. */
export function printableLine(text: string): string {
  return printable(text.trim().replace(/\s*[\r\n]+\s*/g, ' '));
}

/** Breaks a text into lines of at most `width`, where there are spaces. */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.split(/\s+/)) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === '' ? word : `${line} ${word}`;
  }
  return line === '' ? lines : [...lines, line];
}
