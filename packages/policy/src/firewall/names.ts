/** Names in the ruleset: the same for the same thing in every compilation, so that a change stays a small one. */

const READABLE = /^[A-Za-z0-9][A-Za-z0-9_-]{0,63}$/;

/** Gives each text a name of letters, digits, `_`, `.` and `-` that no other text of this object has. */
export class Names {
  readonly #prefix: string;
  readonly #byText = new Map<string, string>();
  readonly #taken = new Set<string>();

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  of(text: string): string {
    let name = this.#byText.get(text);
    if (name === undefined) {
      const base = `${this.#prefix}-${READABLE.test(text) ? text : `.${hash(text)}`}`;
      name = base;
      // Two texts with one hash: whoever comes first has it. A change then sees other rules below the same name.
      for (let i = 2; this.#taken.has(name); i++) name = `${base}.${String(i)}`;
      this.#taken.add(name);
      this.#byText.set(text, name);
    }
    return name;
  }
}

/** 64 bits of FNV-1a, in two halves: spreads names, secures nothing. */
function hash(text: string): string {
  let [a, b] = [0x811c9dc5, 0x01000193];
  for (let i = 0; i < text.length; i++) {
    a = Math.imul(a ^ text.charCodeAt(i), 0x01000193);
    b = Math.imul(b ^ text.charCodeAt(i), 0x0100019d);
  }
  return [a, b].map((half) => (half >>> 0).toString(16).padStart(8, '0')).join('');
}
