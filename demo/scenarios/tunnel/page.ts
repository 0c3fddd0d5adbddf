/** The name that the page's certificate carries. */
export const pageHost = 'internet.example';

const lines = 40;

/** The page's text for a visitor; `marker` makes it one that occurs nowhere else. */
export function pageText(marker: string, visitor: string): string {
  const body = Array.from(
    { length: lines },
    (_, line) => `Line ${String(line + 1)} of ${String(lines)}: only you and ${pageHost} can read this, ${marker}.`,
  );
  return [`Hello! You come from ${visitor}.`, ...body, ''].join('\n');
}

/** The address that the page says it saw. */
export function visitorOf(page: string): string {
  return /^Hello! You come from (.+)\.$/m.exec(page)?.[1] ?? '';
}

/** The page's text cut into pieces of this many bytes, none of which occurs by chance in encrypted bytes. */
const pieceBytes = 16;

export function piecesOf(page: string): Buffer[] {
  const bytes = Buffer.from(page);
  const count = Math.floor(bytes.length / pieceBytes);
  return Array.from({ length: count }, (_, piece) => bytes.subarray(piece * pieceBytes, (piece + 1) * pieceBytes));
}
