import type { Kysely } from 'kysely';
import type { Database } from '../store/schema.ts';

export type ReferenceKind = 'user' | 'group' | 'resource' | 'gateway';

/** The ids and names of entities, for requests that name many by either. An id counts before a name. */
export class References {
  readonly #ids = new Map<string, string>();
  readonly #names = new Map<string, string>();

  /** Reads the entities of these kinds. */
  static async read(db: Kysely<Database>, kinds: readonly ReferenceKind[]): Promise<References> {
    const references = new References();
    for (const kind of kinds) {
      for (const { id, name } of await db.selectFrom(kind).select(['id', 'name']).execute()) {
        references.#ids.set(`${kind} ${name}`, id);
        references.#names.set(`${kind} ${id}`, name);
      }
    }
    return references;
  }

  idOf(kind: ReferenceKind, reference: string): string | undefined {
    return this.#names.has(`${kind} ${reference}`) ? reference : this.#ids.get(`${kind} ${reference}`);
  }

  /** The name of an id, or the id where there is no such entity. */
  nameOf(kind: ReferenceKind, id: string): string {
    return this.#names.get(`${kind} ${id}`) ?? id;
  }
}
