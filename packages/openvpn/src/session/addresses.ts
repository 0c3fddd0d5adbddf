/** Four decimal numbers as 4 bytes; undefined for anything else. */
export function parseIpv4(text: string): Uint8Array | undefined {
  const parts = text.split('.');
  if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9][0-9]{0,2})$/.test(part) && Number(part) < 256))
    return undefined;
  return Uint8Array.from(parts, Number);
}

/** An IPv6 address (RFC 4291 section 2.2, without dotted decimal and zone) as 16 bytes; undefined for anything else. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const halves = text.split('::');
  if (halves.length > 2) return undefined;
  const [head, tail] = halves.map((half) => (half === '' ? [] : half.split(':')));
  const words = head.length + (tail?.length ?? 0);
  if (![...head, ...(tail ?? [])].every((word) => /^[0-9a-f]{1,4}$/i.test(word))) return undefined;
  if (tail === undefined ? words !== 8 : words > 7) return undefined;
  const bytes = new Uint8Array(16);
  const view = new DataView(bytes.buffer);
  head.forEach((word, i) => {
    view.setUint16(2 * i, parseInt(word, 16));
  });
  tail?.forEach((word, i) => {
    view.setUint16(2 * (8 - tail.length + i), parseInt(word, 16));
  });
  return bytes;
}
