/** Plots of letters: filled below the line, as wide and high as there is room for. */

/** The dots of a braille letter (U+2800) from below, left and right. */
const leftDots = [0x40, 0x04, 0x02, 0x01];
const rightDots = [0x80, 0x20, 0x10, 0x08];
const DOTS = 4;

/** The next of 1, 2, 5, 10, … that is not below. */
export function niceCeiling(value: number): number {
  if (value <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(value));
  // What division leaves beyond the last digit must not make it the next step.
  const first = value / power - 1e-9;
  return power * (first <= 1 ? 1 : first <= 2 ? 2 : first <= 5 ? 5 : 10);
}

/** How many values a plot of this width shows. */
export function valuesFor(width: number, unicode: boolean): number {
  return unicode ? width * 2 : width;
}

/**
 * The lines of a plot, the uppermost first, each `width` letters: the last values, the newest at the right edge. A value
 * above 0 shows, however small.
 */
export function plot(
  values: readonly number[],
  width: number,
  height: number,
  max: number,
  unicode: boolean,
): string[] {
  const columns = valuesFor(width, unicode);
  const shown = values.slice(-columns);
  const filled = [...new Array<number>(columns - shown.length).fill(0), ...shown];
  const steps = height * (unicode ? DOTS : 1);
  const levels = filled.map((value) =>
    value <= 0 || max <= 0 ? 0 : Math.min(steps, Math.max(1, Math.round((value / max) * steps))),
  );
  const lines: string[] = [];
  for (let row = height - 1; row >= 0; row--) {
    let line = '';
    for (let x = 0; x < width; x++) {
      line += unicode ? braille(levels[2 * x] ?? 0, levels[2 * x + 1] ?? 0, row) : (levels[x] ?? 0) > row ? '#' : ' ';
    }
    lines.push(line);
  }
  return lines;
}

function braille(left: number, right: number, row: number): string {
  let dots = 0;
  for (let i = 0; i < DOTS; i++) {
    if (left > row * DOTS + i) dots |= leftDots[i] ?? 0;
    if (right > row * DOTS + i) dots |= rightDots[i] ?? 0;
  }
  return String.fromCharCode(0x2800 + dots);
}
