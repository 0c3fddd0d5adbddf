import type { Command } from '../command.ts';
import { CommandFailure, EXIT_FAILED, EXIT_NOT_PERMITTED, EXIT_UNAVAILABLE } from '../command.ts';
import { ask } from './daemon.ts';
import { printable, sign, styleFor, wrap, type Style } from './terminal.ts';

export const doctor: Command = {
  name: 'doctor',
  usage: '[--json]',
  summary: 'find out what stops a connection, and say what to do',
  help: `Checks, one after the other, the daemon, the account, the clock, the network, whether a login page of a network is in
the way, names, the service and its certificate, the kernel, other programs that change the network, and each way to the
gateways. It changes nothing. Exit code 1 says that there is a fault.

Options:
  --json  print JSON

Examples:
  sallyport doctor
  sallyport doctor --json | jq '.items[] | select(.state == "fault")'`,
  options: ['json'],
  arguments: [0, 0],
  async run(_words, options) {
    const json = options.has('json');
    const style = styleFor(process.stdout);
    const checks: Check[] = [];
    const show = (check: Check): void => {
      checks.push(check);
      if (!json) process.stdout.write(`${checkLines(check, style, process.stdout.columns ?? 100).join('\n')}\n`);
    };
    try {
      await ask('doctor', {}, { onEvent: show, silenceMs: SILENCE_MS });
    } catch (error) {
      // That the daemon can't be asked is a finding as any other.
      if (!(error instanceof CommandFailure) || checks.length > 0) throw error;
      if (error.exitCode !== EXIT_UNAVAILABLE && error.exitCode !== EXIT_NOT_PERMITTED) throw error;
      const [detail = '', ...remedy] = error.message.split('; ');
      show({ check: 'daemon', state: 'fault', detail, remedy: remedy.join('; ') });
    }
    if (json) process.stdout.write(`${JSON.stringify({ items: checks }, undefined, 2)}\n`);
    else process.stdout.write(`\n${verdict(checks)}\n`);
    return checks.some(({ state }) => state === 'fault') ? EXIT_FAILED : 0;
  },
};

/** Each check may wait for answers that don't come. */
const SILENCE_MS = 120_000;
const NAME_WIDTH = 12;

export interface Check {
  readonly check: string;
  readonly state: 'ok' | 'warning' | 'fault' | 'skipped';
  readonly detail: string;
  readonly remedy: string;
}

/** A check and, below it, what to do. */
export function checkLines({ check, state, detail, remedy }: Check, style: Style, columns: number): string[] {
  const head = `${sign(state, style)}  ${printable(check).padEnd(NAME_WIDTH)}  `;
  const indent = (style.unicode ? 2 : 0) + 7 + 2 + NAME_WIDTH + 2;
  const width = Math.max(30, columns - indent - 1);
  const [first = '', ...rest] = wrap(printable(detail), width);
  const below = [...rest, ...(remedy === '' ? [] : wrap(`To do: ${printable(remedy)}`, width))];
  return [`${head}${first}`.trimEnd(), ...below.map((line) => ' '.repeat(indent) + line)];
}

function verdict(checks: readonly Check[]): string {
  const count = (state: Check['state']): number => checks.filter((check) => check.state === state).length;
  const [faults, warnings] = [count('fault'), count('warning')];
  const plural = (number: number, word: string): string => `${String(number)} ${word}${number === 1 ? '' : 's'}`;
  if (faults > 0) return `${plural(faults, 'fault')}${warnings > 0 ? ` and ${plural(warnings, 'warning')}` : ''}`;
  return warnings > 0 ? `No fault, ${plural(warnings, 'warning')}` : 'All is well';
}
