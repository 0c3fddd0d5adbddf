/** What a PATCH leads to: the fields that it gives, and of the others what was there before. */
export function merge<T extends object>(before: T, patch: { readonly [K in keyof T]?: T[K] | undefined }): T {
  const given = Object.entries(patch).filter(([, value]) => value !== undefined);
  return { ...before, ...(Object.fromEntries(given) as Partial<T>) };
}
