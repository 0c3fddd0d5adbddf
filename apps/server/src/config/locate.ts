/**
 * The line (from 1) of a TOML text on which `path` is set, or the nearest table above it begins; undefined where neither
 * is there. The text is known to be TOML.
 */
export function locate(toml: string, path: readonly string[]): number | undefined {
  let table: readonly string[] = [];
  let best: { depth: number; line: number } | undefined;
  let closing: string | undefined;
  for (const [index, line] of toml.split('\n').entries()) {
    if (closing !== undefined) {
      if (line.includes(closing)) closing = undefined;
      continue;
    }
    const header = /^\s*\[\[?([^[\]]+)\]\]?\s*(?:#.*)?$/.exec(line);
    const entry = /^\s*((?:[\w-]+|"[^"]*"|'[^']*')(?:\s*\.\s*(?:[\w-]+|"[^"]*"|'[^']*'))*)\s*=(.*)$/.exec(line);
    let here: readonly string[] | undefined;
    if (header !== null) here = table = split(header[1] ?? '');
    else if (entry !== null) {
      here = [...table, ...split(entry[1] ?? '')];
      closing = opensText(entry[2] ?? '');
    }
    if (here === undefined || !here.every((key, depth) => key === path[depth])) continue;
    if (here.length > (best?.depth ?? 0)) best = { depth: here.length, line: index + 1 };
  }
  return best?.line;
}

function split(key: string): string[] {
  return (key.match(/[\w-]+|"[^"]*"|'[^']*'/g) ?? []).map((part) => part.replace(/^["'](.*)["']$/, '$1'));
}

/** The quotes that end a text of several lines which begins in `value`. */
function opensText(value: string): string | undefined {
  const quotes = /^\s*("""|''')/.exec(value)?.[1];
  return quotes !== undefined && value.split(quotes).length === 2 ? quotes : undefined;
}
