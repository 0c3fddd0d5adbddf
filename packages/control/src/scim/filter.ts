/** Filters (RFC 7644, 3.4.2.2) and the paths of PATCH (3.5.2), which hold filters. What they cost is bounded. */
import { ScimFault } from './fault.ts';

export const COMPARISONS = ['eq', 'ne', 'co', 'sw', 'ew', 'gt', 'ge', 'lt', 'le'] as const;
export type Comparison = (typeof COMPARISONS)[number];
export type Literal = string | number | boolean | null;

export type Filter =
  | { readonly kind: 'and' | 'or'; readonly parts: readonly Filter[] }
  | { readonly kind: 'not'; readonly part: Filter }
  | { readonly kind: 'present'; readonly path: string }
  | { readonly kind: 'compare'; readonly path: string; readonly comparison: Comparison; readonly value: Literal }
  /** One value of a multi-valued attribute fits all of `part`: `emails[type eq "work"]`. */
  | { readonly kind: 'some'; readonly path: string; readonly part: Filter };

export interface PatchPath {
  readonly path: string;
  /** Selects values of a multi-valued attribute. */
  readonly filter: Filter | undefined;
  /** Below what the filter selects. */
  readonly sub: string | undefined;
}

/** Characters of a filter or path. */
export const MAX_FILTER_LENGTH = 1000;
/** Brackets within brackets. */
export const MAX_FILTER_DEPTH = 16;

const tokens = /[ \t]*(?:([()[\]])|("(?:[^"\\\u0000-\u001f]|\\.)*")|(-?\d[\d.eE+-]*)|(\.?[A-Za-z$][\w$.:-]*))/y;

/** Throws a ScimFault `invalidFilter`. */
export function parseFilter(text: string): Filter {
  const parser = new Parser(text, 'invalidFilter');
  const filter = parser.readOr(0);
  parser.end();
  return filter;
}

/** Throws a ScimFault `invalidPath`. */
export function parsePath(text: string): PatchPath {
  const parser = new Parser(text, 'invalidPath');
  const path = parser.word();
  let filter: Filter | undefined;
  let sub: string | undefined;
  if (parser.take('[')) {
    filter = parser.readOr(1);
    parser.expect(']');
    if (!parser.atEnd) sub = parser.subAttribute();
  }
  parser.end();
  return { path, filter, sub };
}

class Parser {
  readonly #tokens: readonly string[];
  readonly #fault: 'invalidFilter' | 'invalidPath';
  #at = 0;

  constructor(text: string, fault: 'invalidFilter' | 'invalidPath') {
    this.#fault = fault;
    if (text.length > MAX_FILTER_LENGTH) throw this.fault(`has more than ${MAX_FILTER_LENGTH} characters`);
    const found: string[] = [];
    const trimmed = text.trim();
    for (let at = 0; at < trimmed.length; at = tokens.lastIndex) {
      tokens.lastIndex = at;
      const match = tokens.exec(trimmed);
      if (match === null) throw this.fault(`can't be read from character ${at + 1} on`);
      found.push(match[1] ?? match[2] ?? match[3] ?? match[4]);
    }
    this.#tokens = found;
  }

  get atEnd(): boolean {
    return this.#at === this.#tokens.length;
  }

  fault(message: string): ScimFault {
    return new ScimFault(400, this.#fault, `The ${this.#fault === 'invalidPath' ? 'path' : 'filter'} ${message}.`);
  }

  /** `a or b or c`; `and` binds closer, `not` closest. */
  readOr(depth: number): Filter {
    if (depth > MAX_FILTER_DEPTH) throw this.fault(`has more than ${MAX_FILTER_DEPTH} brackets within each other`);
    return this.#joined('or', () => this.#joined('and', () => this.#term(depth)));
  }

  word(): string {
    const token = this.#tokens[this.#at] as string | undefined;
    if (token === undefined || !/^[A-Za-z$]/.test(token))
      throw this.fault(`lacks the name of an attribute ${this.#place()}`);
    this.#at++;
    return token;
  }

  subAttribute(): string {
    const token = this.#tokens[this.#at] as string | undefined;
    if (token === undefined || !/^\.[A-Za-z$][\w$-]*$/.test(token)) throw this.fault('goes on wrongly after "]"');
    this.#at++;
    return token.slice(1);
  }

  take(token: string): boolean {
    if ((this.#tokens[this.#at] as string | undefined)?.toLowerCase() !== token) return false;
    this.#at++;
    return true;
  }

  expect(token: string): void {
    if (!this.take(token)) throw this.fault(`lacks "${token}" ${this.#place()}`);
  }

  end(): void {
    if (!this.atEnd) throw this.fault(`goes on wrongly ${this.#place()}`);
  }

  #joined(kind: 'and' | 'or', read: () => Filter): Filter {
    const parts = [read()];
    while (this.take(kind)) parts.push(read());
    return parts.length === 1 ? parts[0] : { kind, parts };
  }

  #term(depth: number): Filter {
    if (this.take('(')) return this.#rest(depth, ')');
    if (this.#tokens[this.#at]?.toLowerCase() === 'not' && this.#tokens[this.#at + 1] === '(') {
      this.#at += 2;
      return { kind: 'not', part: this.#rest(depth, ')') };
    }
    const path = this.word();
    if (this.take('[')) {
      const part = this.#rest(depth, ']');
      if (!(this.#tokens[this.#at] as string | undefined)?.startsWith('.')) return { kind: 'some', path, part };
      // emails[type eq "work"].value eq "a@example.com": not in the grammar, but Entra ID asks so.
      return { kind: 'some', path, part: { kind: 'and', parts: [part, this.#condition(this.subAttribute())] } };
    }
    return this.#condition(path);
  }

  #rest(depth: number, closing: string): Filter {
    const filter = this.readOr(depth + 1);
    this.expect(closing);
    return filter;
  }

  #condition(path: string): Filter {
    if (this.take('pr')) return { kind: 'present', path };
    const word = (this.#tokens[this.#at] as string | undefined)?.toLowerCase();
    const comparison = COMPARISONS.find((known) => known === word);
    if (comparison === undefined) throw this.fault(`lacks an operator such as eq ${this.#place()}`);
    this.#at++;
    return { kind: 'compare', path, comparison, value: this.#literal() };
  }

  #literal(): Literal {
    const token = this.#tokens[this.#at] as string | undefined;
    let value: unknown;
    try {
      // `True` and `FALSE` are sent as well.
      value = JSON.parse(/^(true|false|null)$/i.test(token ?? '') ? token!.toLowerCase() : (token ?? ''));
    } catch {
      throw this.fault(`lacks a value such as "text", true or 1 ${this.#place()}`);
    }
    this.#at++;
    // PostgreSQL takes no such character, so no text has it.
    if (typeof value === 'string' && value.includes('\0')) throw this.fault('has a text with a null character');
    return value as Literal;
  }

  #place(): string {
    if (this.atEnd) return 'at its end';
    return `before ${JSON.stringify(this.#tokens[this.#at].slice(0, 40))}`;
  }
}
