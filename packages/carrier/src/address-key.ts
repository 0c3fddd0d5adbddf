import { isIPv6 } from 'node:net';

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
