import { isIP, isIPv6 } from 'node:net';

/** An address without a zone, IPv4 in IPv6 as IPv4; undefined where it is none. */
export function plainAddress(address: string): string | undefined {
  const [text = ''] = address.toLowerCase().split('%');
  const plain = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(text)?.[1] ?? text;
  return isIP(plain) === 0 ? undefined : plain;
}

/** What limits count by: an IPv4 address, or the /64 of an IPv6 address, which one client has all of. */
export function addressKey(address: string): string {
  const [text = ''] = address.toLowerCase().split('%');
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/.exec(text);
  if (mapped?.[1] !== undefined) return mapped[1];
  if (!isIPv6(text)) return text;
  const [head = ''] = text.split('::');
  const words = head === '' ? [] : head.split(':');
  // Where "::" stands within the first half, the words after it may reach into that half.
  const tail = text.includes('::') ? (text.split('::')[1] ?? '') : '';
  const after = tail === '' ? [] : tail.split(':');
  const missing = 8 - words.length - after.length - (tail.includes('.') ? 1 : 0);
  const all = [...words, ...new Array<string>(Math.max(0, text.includes('::') ? missing : 0)).fill('0'), ...after];
  return all
    .slice(0, 4)
    .map((word) => word.replace(/^0+(?=.)/, ''))
    .join(':');
}

/** The wider one that it is in: the /24 of an IPv4 address, the /48 of an IPv6 address. `key` is an {@link addressKey}. */
export function networkKey(key: string): string {
  const separator = key.includes(':') ? ':' : '.';
  return key.split(separator).slice(0, 3).join(separator);
}
