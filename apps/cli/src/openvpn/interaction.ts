import { createInterface } from 'node:readline/promises';
import { CommandFailure, EXIT_FAILED, tell } from '../command.ts';
import { askSecret } from '../service/prompt.ts';
import type { UpFacts } from './record.ts';

/** Whoever brings a tunnel up: a person at a terminal, or a program that reads. */
export interface Interaction {
  /** Rejects where nobody is there to answer. */
  readonly ask: (question: string, secret: boolean) => Promise<string>;
  readonly tell: (line: string) => void;
  /** The tunnel is up, for the first time or with other facts than before. */
  readonly up: (facts: UpFacts) => void;
}

/** This process's own terminal; with `json` facts are a line of JSON on the standard output. */
export function terminalInteraction(json: boolean, signal: AbortSignal): Interaction {
  return {
    ask: (question, secret) => (secret || !process.stdin.isTTY ? askSecret(question) : askOpenly(question, signal)),
    tell,
    up: (facts) => {
      if (json) process.stdout.write(`${JSON.stringify({ event: 'up', ...facts })}\n`);
      else tell(upLine(facts));
    },
  };
}

export function upLine({ interface: name, server, transport, cipher, ipv4, ipv6 }: UpFacts): string {
  const addresses = [ipv4, ipv6].filter((address) => address !== null).join(', ');
  return `${name} is up: ${server} by ${transport.toUpperCase()}, ${cipher}${addresses === '' ? '' : `, ${addresses}`}`;
}

async function askOpenly(question: string, signal: AbortSignal): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await terminal.question(`${question}: `, { signal });
  } catch (error) {
    throw new CommandFailure(EXIT_FAILED, 'interrupted', { cause: error });
  } finally {
    terminal.close();
  }
}

/** What a server says, for a terminal: its words, and nothing that would move the cursor. */
export function plainWords(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]+/gu, ' ').slice(0, 500);
}
