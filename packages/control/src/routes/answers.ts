import { ApiError } from '../http/api-error.ts';

/** What was looked for. Throws the ApiError `notFound` where there is none. */
export function found<T>(item: T | undefined, kind: string): T {
  if (item === undefined) throw new ApiError('notFound', `There is no such ${kind}.`);
  return item;
}

/** The id of an entity that is named by it or by its name. */
export function idOf(entities: ReadonlyMap<string, { readonly name: string }>, reference: string): string | undefined {
  if (entities.has(reference)) return reference;
  for (const [id, { name }] of entities) if (name === reference) return id;
  return undefined;
}

export function nameTaken(kind: string, name: string): ApiError {
  return new ApiError('nameTaken', `There is another ${kind} with the name ${name}: choose one that is free.`);
}
