import { randomInt } from 'node:crypto';
import { checkVariant, VARIANT_KEYS, type Variant } from '@sallyport/wireguard';
import { readIfThere, storeFile } from '../store-file.ts';

/** Type words from here on are nobody else's; AmneziaWG's apps take them up to half of the numbers there are. */
const HEADERS = { from: 5, to: 2 ** 31 } as const;

/**
 * The gateway's parameters of AmneziaWG, in the file at `path`; where it isn't there, new ones by chance, so that no filter
 * that knows one gateway knows the next. Throws where the file can't be used.
 */
export function loadAmneziawgParameters(path: string): Variant {
  const text = readIfThere(path);
  if (text === undefined) {
    const made = randomParameters();
    storeFile(path, `${JSON.stringify(made)}\n`);
    return made;
  }
  const stored = read(text);
  if (stored === undefined)
    throw new Error(`${path} does not hold parameters of AmneziaWG: restore it, or remove it for new ones`);
  return stored;
}

function read(text: string): Variant | undefined {
  let value: Readonly<Record<string, unknown>> | null;
  try {
    value = JSON.parse(text) as typeof value;
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  const variant = Object.fromEntries(VARIANT_KEYS.map((key) => [key, value[key]])) as unknown as Variant;
  return checkVariant(variant) === undefined ? variant : undefined;
}

/** Within what AmneziaWG's documentation advises: a little junk, and messages of other lengths and types. */
export function randomParameters(): Variant {
  const jmin = between(40, 80);
  const s1 = between(15, 150);
  let s2 = between(15, 150);
  // Initiation and response must not be equally long (they are 148 and 92 bytes), nor the two paddings.
  while (s2 === s1 || s2 === s1 + 56) s2 = between(15, 150);
  const [h1, h2, h3, h4] = distinctHeaders();
  return { jc: between(4, 8), jmin, jmax: between(jmin + 100, 700), s1, s2, h1, h2, h3, h4 };
}

function distinctHeaders(): [number, number, number, number] {
  const found = new Set<number>();
  while (found.size < 4) found.add(randomInt(HEADERS.from, HEADERS.to));
  return [...found] as [number, number, number, number];
}

function between(least: number, most: number): number {
  return randomInt(least, most + 1);
}
