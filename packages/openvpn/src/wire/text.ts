const BASE64_DIGITS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/';
const BASE64_FORM = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

/** Halves of surrogate pairs that stand alone become U+FFFD. */
export function utf8Encode(text: string): Uint8Array {
  const bytes: number[] = [];
  for (const character of text) {
    let code = character.codePointAt(0) ?? 0;
    if (code >= 0xd800 && code <= 0xdfff) code = 0xfffd;
    if (code < 0x80) bytes.push(code);
    else if (code < 0x800) bytes.push(0xc0 | (code >> 6), 0x80 | (code & 63));
    else if (code < 0x10000) bytes.push(0xe0 | (code >> 12), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
    else bytes.push(0xf0 | (code >> 18), 0x80 | ((code >> 12) & 63), 0x80 | ((code >> 6) & 63), 0x80 | (code & 63));
  }
  return Uint8Array.from(bytes);
}

/** The least code point that takes one byte, two, three and four. */
const LEAST_CODES = [0, 0x80, 0x800, 0x10000];

/** Undefined where the bytes are not UTF-8. */
export function utf8Decode(bytes: Uint8Array): string | undefined {
  let text = '';
  for (let at = 0; at < bytes.length;) {
    const first = bytes[at++];
    if (first < 0x80) {
      text += String.fromCharCode(first);
      continue;
    }
    const more = first < 0xc0 || first >= 0xf8 ? 0 : first < 0xe0 ? 1 : first < 0xf0 ? 2 : 3;
    if (more === 0 || at + more > bytes.length) return undefined;
    let code = first & (0x3f >> more);
    for (const end = at + more; at < end; at++) {
      if ((bytes[at] & 0xc0) !== 0x80) return undefined;
      code = (code << 6) | (bytes[at] & 0x3f);
    }
    if (code < LEAST_CODES[more] || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return undefined;
    text += String.fromCodePoint(code);
  }
  return text;
}

export function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return length;
}

export function base64Encode(bytes: Uint8Array): string {
  let text = '';
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i;
    const bits = (bytes[i] << 16) | ((left > 1 ? bytes[i + 1] : 0) << 8) | (left > 2 ? bytes[i + 2] : 0);
    text += BASE64_DIGITS.charAt(bits >> 18) + BASE64_DIGITS.charAt((bits >> 12) & 63);
    text +=
      (left > 1 ? BASE64_DIGITS.charAt((bits >> 6) & 63) : '=') + (left > 2 ? BASE64_DIGITS.charAt(bits & 63) : '=');
  }
  return text;
}

/** Undefined where the text is not base64; the padding may be left out. */
export function base64Decode(text: string): Uint8Array | undefined {
  if (!BASE64_FORM.test(text)) return undefined;
  const digits = text.replace(/=+$/, '');
  const bytes = new Uint8Array((digits.length * 6) >> 3);
  let bits = 0;
  let held = 0;
  let at = 0;
  for (let i = 0; i < digits.length; i++) {
    bits = ((bits << 6) | BASE64_DIGITS.indexOf(digits.charAt(i))) & 0xffff;
    held += 6;
    if (held >= 8) {
      held -= 8;
      bytes[at++] = bits >> held;
    }
  }
  return bytes;
}

/** What peers print and compare: no control characters. */
export function isPrintable(text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code < 0x20 || (code >= 0x7f && code < 0xa0)) return false;
  }
  return true;
}
