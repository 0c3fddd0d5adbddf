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
    for (const kind of kinds) references.#add(kind, await db.selectFrom(kind).select(['id', 'name']).execute());
    return references;
  }

  /** Reads those of the entities that are named, by id or name. */
  static async of(db: Kysely<Database>, named: Partial<Record<ReferenceKind, readonly string[]>>): Promise<References> {
    const references = new References();
    for (const [kind, list] of Object.entries(named) as [ReferenceKind, readonly string[]][]) {
      if (list.length === 0) continue;
      const query = db.selectFrom(kind).select(['id', 'name']);
      references.#add(kind, await query.where((eb) => eb.or([eb('id', 'in', list), eb('name', 'in', list)])).execute());
    }
    return references;
  }

  #add(kind: ReferenceKind, rows: readonly { readonly id: string; readonly name: string }[]): void {
    for (const { id, name } of rows) {
      this.#ids.set(`${kind} ${name}`, id);
      this.#names.set(`${kind} ${id}`, name);
    }
  }

  idOf(kind: ReferenceKind, reference: string): string | undefined {
    return this.#names.has(`${kind} ${reference}`) ? reference : this.#ids.get(`${kind} ${reference}`);
  }

  /** The name of an id, or the id where there is no such entity. */
  nameOf(kind: ReferenceKind, id: string): string {
    return this.#names.get(`${kind} ${id}`) ?? id;
  }
}
