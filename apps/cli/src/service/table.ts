/** Columns for people: fitted to what they hold, numbers to the right, nothing cut off. */
export function table(columns: readonly string[], rows: readonly Readonly<Record<string, unknown>>[]): string {
  const cells = rows.map((row) => columns.map((column) => display(valueAt(row, column))));
  const heads = columns.map((column) => title(column));
  const widths = heads.map((head, i) => Math.max(head.length, ...cells.map((row) => width(row[i] ?? ''))));
  const numeric = columns.map(
    (column) => rows.length > 0 && rows.every((row) => typeof valueAt(row, column) === 'number'),
  );
  const line = (row: readonly string[]) =>
    row
      .map((cell, i) => {
        const padding = ' '.repeat(Math.max(0, (widths[i] ?? 0) - width(cell)));
        return numeric[i] ? padding + cell : cell + padding;
      })
      .join('  ')
      .trimEnd();
  return [line(heads), ...cells.map(line)].join('\n');
}

/** One entity: a line a field, what it holds being indented. */
export function record(value: Readonly<Record<string, unknown>>, indent = ''): string {
  const entries = Object.entries(value);
  const longest = Math.max(0, ...entries.map(([name]) => title(name).length));
  return entries
    .map(([name, field]) => {
      if (
        Array.isArray(field) &&
        name !== 'services' &&
        field.some((item) => typeof item === 'object' && item !== null)
      )
        return [
          `${indent}${title(name)}`,
          ...field.map((item) => record(item as Record<string, unknown>, `${indent}  `)),
        ].join('\n');
      if (typeof field === 'object' && field !== null && !Array.isArray(field))
        return `${indent}${title(name)}\n${record(field as Record<string, unknown>, `${indent}  `)}`;
      return `${indent}${title(name).padEnd(longest)}  ${display(field)}`.trimEnd();
    })
    .join('\n');
}

function valueAt(row: Readonly<Record<string, unknown>>, column: string): unknown {
  let value: unknown = row;
  for (const name of column.split('.')) value = (value as Record<string, unknown> | null | undefined)?.[name];
  return value;
}

function title(column: string): string {
  return column.replaceAll('.', ' ').replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

function display(value: unknown): string {
  if (value === null || value === undefined || value === '') return '-';
  if (typeof value === 'boolean') return value ? 'yes' : 'no';
  if (Array.isArray(value))
    return value.length === 0 ? '-' : value.map(display).join(value.every(isService) ? ' ' : ', ');
  if (isService(value)) return value.protocol + (value.ports.length === 0 ? '' : `/${value.ports.join(',')}`);
  // What people named must not steer the terminal.
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  return text.replace(/[\u0000-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '\ufffd');
}

/** A protocol and its ports, which options take in the same form: `tcp/443,8000-8100`. */
function isService(value: unknown): value is { protocol: string; ports: string[] } {
  const { protocol, ports } = value as { protocol?: unknown; ports?: unknown };
  return typeof protocol === 'string' && Array.isArray(ports) && ports.every((port) => typeof port === 'string');
}

/** The columns of a terminal that a text takes, near enough: wide letters take two. */
function width(text: string): number {
  let columns = 0;
  for (const letter of text)
    columns += /[\u1100-\u115f\u2e80-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60]/u.test(letter) ? 2 : 1;
  return columns;
}
