import { MAX_JSON_DEPTH } from './limits.ts';

/** Says what is wrong with a JSON text; at most a place, nothing of its content but the name of a field. */
export class JsonFault extends Error {
  override readonly name = 'JsonFault';
}

/**
 * Parses JSON and refuses what readers of it understand differently: fields given twice, `__proto__`, deep nesting. A
 * proxy or an audit that takes the first of two fields must not see another request than the one that is served.
 */
export function parseStrictJson(text: string): unknown {
  let value: unknown;
  try {
    value = JSON.parse(text) as unknown;
  } catch {
    throw new JsonFault('the body is no JSON');
  }
  checkNames(text);
  return value;
}

/** Walks a text that is known to be JSON. */
function checkNames(text: string): void {
  // For each open object the names seen in it, for each open list undefined.
  const open: (Set<string> | undefined)[] = [];
  let expectsName = false;
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case 0x7b: // {
      case 0x5b: // [
        if (open.length === MAX_JSON_DEPTH) throw new JsonFault(`the body nests deeper than ${MAX_JSON_DEPTH} levels`);
        expectsName = text[at] === '{';
        open.push(expectsName ? new Set() : undefined);
        break;
      case 0x7d: // }
      case 0x5d: // ]
        open.pop();
        expectsName = false;
        break;
      case 0x2c: // ,
        expectsName = open.at(-1) !== undefined;
        break;
      case 0x22: {
        // "
        const start = at;
        for (at++; text[at] !== '"'; at++) if (text[at] === '\\') at++;
        if (expectsName) {
          addName(open.at(-1)!, JSON.parse(text.slice(start, at + 1)) as string);
          expectsName = false;
        }
        break;
      }
      default:
    }
  }
}

function addName(names: Set<string>, name: string): void {
  if (name === '__proto__') throw new JsonFault('a field can\'t be named "__proto__"');
  if (names.has(name)) throw new JsonFault(`the field ${JSON.stringify(name.slice(0, 100))} is given twice`);
  names.add(name);
}
