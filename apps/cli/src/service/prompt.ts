import { createInterface } from 'node:readline';
import { CommandFailure, EXIT_USAGE } from '../command.ts';

/** The longest secret that is read from the standard input. */
const MAX_LENGTH = 4096;

let piped: AsyncIterator<string> | undefined;

/**
 * Asks for a secret: on a terminal without showing it, otherwise the next line of the standard input. Secrets never
 * come from the command line, which everyone on the machine can read.
 */
export async function askSecret(question: string): Promise<string> {
  const { stdin } = process;
  if (!stdin.isTTY) {
    piped ??= createInterface({ input: stdin, crlfDelay: Infinity })[Symbol.asyncIterator]();
    const line = await piped.next();
    if (line.done === true) {
      throw new CommandFailure(EXIT_USAGE, `${question}: expected on the standard input, which has ended`);
    }
    return line.value.slice(0, MAX_LENGTH);
  }
  process.stderr.write(`${question}: `);
  stdin.setRawMode(true);
  stdin.resume();
  try {
    return await new Promise((resolve, reject) => {
      let text = '';
      const take = (chunk: Buffer): void => {
        for (const letter of chunk.toString('utf8')) {
          if (letter === '\r' || letter === '\n') {
            stdin.off('data', take);
            resolve(text);
            return;
          }
          if (letter === '\u0003' || (letter === '\u0004' && text === '')) {
            stdin.off('data', take);
            reject(new CommandFailure(130, 'interrupted'));
            return;
          }
          if (letter === '\u007f' || letter === '\b') text = Array.from(text).slice(0, -1).join('');
          else if (letter >= ' ' && text.length < MAX_LENGTH) text += letter;
        }
      };
      stdin.on('data', take);
    });
  } finally {
    stdin.setRawMode(false);
    stdin.pause();
    process.stderr.write('\n');
  }
}

/** Lets the process end although the standard input is still open. */
export function closeInput(): void {
  void piped?.return?.();
  piped = undefined;
}
