/** The values of a profile's options. What can't be read is undefined. */

/** Shows a word in a message: short, printable, and never a key that went to the wrong line. */
export function shown(value: string): string {
  if (/[A-Za-z0-9+/]{16,}/.test(value)) return '(a long word, not shown)';
  const short = value.length > 64 ? `${value.slice(0, 60)}...` : value;
  return `"${short.replace(/[^\x20-\x7e]/g, '?')}"`;
}

/** A decimal number from `min` to `max`. */
export function parseNumber(text: string | undefined, min: number, max: number): number | undefined {
  if (text === undefined || !/^\d{1,15}$/.test(text)) return undefined;
  const number = Number(text);
  return number < min || number > max ? undefined : number;
}

/** The four bytes of an IPv4 address as a number. */
export function parseIpv4(text: string): number | undefined {
  const match = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})$/.exec(text);
  if (match === null) return undefined;
  const [a = 256, b = 256, c = 256, d = 256] = match.slice(1).map(Number);
  return Math.max(a, b, c, d) > 255 ? undefined : ((a << 24) | (b << 16) | (c << 8) | d) >>> 0;
}

export function formatIpv4(address: number): string {
  return [24, 16, 8, 0].map((shift) => String((address >>> shift) & 255)).join('.');
}

/** How many bits a netmask has set, from the left; undefined where it is none. */
export function maskLength(text: string): number | undefined {
  const mask = parseIpv4(text);
  if (mask === undefined) return undefined;
  const length = Math.clz32(~mask);
  return maskOf(length) === mask ? length : undefined;
}

export function maskOf(length: number): number {
  return length === 0 ? 0 : (0xffff_ffff << (32 - length)) >>> 0;
}

/** RFC 4291 section 2.2, without a zone. */
export function isIpv6(text: string): boolean {
  if (text.length > 45) return false;
  const halves = text.split('::');
  if (halves.length > 2) return false;
  let words = 0;
  for (const [i, half] of halves.entries()) {
    if (half === '') continue;
    const parts = half.split(':');
    for (const [j, part] of parts.entries()) {
      const isLast = i === halves.length - 1 && j === parts.length - 1;
      if (isLast && part.includes('.')) {
        if (parseIpv4(part) === undefined) return false;
        words += 2;
      } else if (/^[0-9a-f]{1,4}$/i.test(part)) words++;
      else return false;
    }
  }
  return halves.length === 2 ? words < 8 : words === 8;
}

export function isAddress(text: string): boolean {
  return parseIpv4(text) !== undefined || isIpv6(text);
}

/** Letters, digits, hyphens and underscores, in labels of at most 63, 253 together (RFC 1123 section 2.1). */
export function isHostName(text: string): boolean {
  return (
    text.length <= 253 &&
    !/^[0-9.]+$/.test(text) &&
    /^[a-z0-9_][a-z0-9_-]{0,62}(\.[a-z0-9_][a-z0-9_-]{0,62})*\.?$/i.test(text)
  );
}

/** The blocks of a PEM text whose label is one of these, each with its end of line; explanations around them are left out. */
export function pemBlocks(text: string, label: RegExp): string[] {
  const blocks: string[] = [];
  let open: { label: string; lines: string[] } | undefined;
  for (const raw of text.split('\n')) {
    const line = raw.trim();
    const begins = /^-----BEGIN ([A-Z0-9 ]{1,40})-----$/.exec(line)?.[1];
    if (begins !== undefined) open = { label: begins, lines: [line] };
    else if (open !== undefined && line === `-----END ${open.label}-----`) {
      if (label.test(open.label)) blocks.push(`${[...open.lines, line].join('\n')}\n`);
      open = undefined;
    } else open?.lines.push(line);
  }
  return blocks;
}
