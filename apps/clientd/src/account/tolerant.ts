import type { z } from 'zod';

const MAX_ROUNDS = 20;

/**
 * Checks an answer against its contract, passing over fields that this version doesn't know: a newer server may say more.
 * Undefined where it doesn't hold otherwise.
 */
export function parseTolerantly<Schema extends z.ZodType>(
  schema: Schema,
  value: unknown,
): z.output<Schema> | undefined {
  let rest = structuredClone(value);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const parsed = schema.safeParse(rest);
    if (parsed.success) return parsed.data;
    let removed = false;
    for (const issue of parsed.error.issues) {
      if (issue.code !== 'unrecognized_keys') return undefined;
      const place = issue.path.reduce<unknown>(
        (at, key) => (at as Record<PropertyKey, unknown> | undefined)?.[key],
        rest,
      );
      for (const key of issue.keys) removed = Reflect.deleteProperty(place as object, key) || removed;
    }
    if (!removed) return undefined;
    rest = structuredClone(rest);
  }
  return undefined;
}
