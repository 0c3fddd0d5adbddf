/** What `sallyport status --watch` shows at a moment. */
import type { ClientStatus } from '@sallyport/client';
import { formatBytes, formatRate } from './format.ts';
import { niceCeiling, plot, valuesFor } from './plot.ts';
import { factsOf, headline } from './status-text.ts';
import { paint, printable, type Colour, type Style } from './terminal.ts';
import type { Sample } from './throughput.ts';

export interface ScreenSize {
  readonly columns: number;
  readonly rows: number;
}

const LEAST_SCALE = 10_000;
const MAX_PLOT_ROWS = 14;
/** Of each plot beside its rows: its title. */
const TITLES = 2;
const FOOTER = 'q: quit';

/** Lines for the whole screen, none wider or more than it takes. */
export function watchScreen(
  status: ClientStatus,
  samples: readonly Sample[],
  { columns, rows }: ScreenSize,
  now: number,
  style: Style,
): string[] {
  const cut = (text: string, colour?: Colour): string => {
    const short = text.length > columns ? text.slice(0, columns) : text;
    return colour === undefined ? short : paint(short, colour, style);
  };
  const plain: Style = { ...style, colour: false };
  const lines = [cut(headline(status, now, plain), 'bold')];
  if (status.message !== '') lines.push(cut(printable(status.message), 'yellow'));
  const hops = factsOf(status).filter(([term]) => ['gateway', 'entry', 'exit', 'kill switch'].includes(term));
  for (const [term, text] of hops) lines.push(cut(`  ${term.padEnd(11)}  ${text}`));
  const room = rows - lines.length - 1 - TITLES;
  const height = Math.min(MAX_PLOT_ROWS, Math.floor(room / 2));
  const arrows = style.unicode ? ['↓', '↑'] : ['<', '>'];
  const peak = Math.max(0, ...samples.flatMap(({ received, sent }) => [received, sent]));
  // One scale for both, so that they can be compared.
  const scale = niceCeiling(Math.max(LEAST_SCALE, peak));
  const labels = [formatRate(scale), formatRate(scale / 2), '0'];
  const labelWidth = Math.max(...labels.map((label) => label.length));
  const width = columns - labelWidth - 2;
  for (const [index, kind] of (['received', 'sent'] as const).entries()) {
    const values = samples.map((sample) => sample[kind]);
    const total = kind === 'received' ? status.receivedBytes : status.sentBytes;
    const rate = formatRate(values.at(-1) ?? 0);
    lines.push(
      cut(`${arrows[index] ?? ''} ${kind.padEnd(8)}  ${rate.padStart(11)}   ${formatBytes(total)} in all`, 'bold'),
    );
    if (height < 1 || width < 8) continue;
    const picture = plot(values.slice(-valuesFor(width, style.unicode)), width, height, scale, style.unicode);
    for (const [row, line] of picture.entries()) {
      const label = row === 0 ? labels[0] : row === height - 1 ? labels[2] : height > 4 && row === Math.floor(height / 2) ? labels[1] : ''; // prettier-ignore
      const edge = style.unicode ? '▕' : '|';
      lines.push(`${(label ?? '').padStart(labelWidth)}${edge} ${paint(line, index === 0 ? 'cyan' : 'green', style)}`);
    }
  }
  const shown = lines.slice(0, Math.max(0, rows - 1));
  return rows > shown.length ? [...shown, cut(FOOTER, 'faint')] : shown;
}
