import type { ClientStatus } from '@sallyport/client';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_FAILED } from '../command.ts';
import { ask } from './daemon.ts';
import { formatBytes, formatRate } from './format.ts';
import { statusText } from './status-text.ts';
import { printable, styleFor } from './terminal.ts';
import { Throughput } from './throughput.ts';
import { watchScreen } from './watch-screen.ts';

export const status: Command = {
  name: 'status',
  usage: '[--watch] [--json]',
  summary: 'show whether this machine is connected, and how',
  help: `Shows the connection, the gateway and how it is reached, traffic, kill switch, name servers and account.

Options:
  --watch  go on, and draw throughput as it is; "q" ends it. Without a terminal: a line a second
  --json   print JSON; with --watch an object a line

Examples:
  sallyport status
  sallyport status --watch
  sallyport status --json | jq -r .state`,
  options: ['watch', 'json'],
  arguments: [0, 0],
  async run(_words, options) {
    const json = options.has('json');
    if (options.has('watch')) return watch(json);
    const now = await ask('status', {});
    const text = json ? JSON.stringify(now, undefined, 2) : statusText(now, Date.now(), styleFor(process.stdout));
    process.stdout.write(`${text}\n`);
    return 0;
  },
};

async function watch(json: boolean): Promise<number> {
  if (!json && process.stdout.isTTY) return draw(process.stdout);
  const throughput = new Throughput();
  await ask(
    'watch',
    {},
    {
      silenceMs: Infinity,
      onEvent: (now) => {
        const isNew = throughput.add(now, performance.now());
        const { received = 0, sent = 0 } = throughput.samples.at(-1) ?? {};
        if (json) {
          const rates = { receivedBitsPerSecond: Math.round(received), sentBitsPerSecond: Math.round(sent) };
          process.stdout.write(`${JSON.stringify({ time: new Date().toISOString(), ...now, ...rates })}\n`);
        } else if (isNew || throughput.samples.length === 0) process.stdout.write(`${lineOf(now, received, sent)}\n`);
      },
    },
  );
  throw new CommandFailure(EXIT_FAILED, 'the client’s daemon ended the watching');
}

function lineOf({ state, hops, receivedBytes, sentBytes }: ClientStatus, received: number, sent: number): string {
  const [time] = new Date().toISOString().slice(11).split('.');
  const where = printable(hops.at(-1)?.name ?? '-');
  return `${time ?? ''} ${state} ${where} received ${formatRate(received)} (${formatBytes(receivedBytes)}) sent ${formatRate(sent)} (${formatBytes(sentBytes)})`;
}

/** A screen of its own, without a cursor; a frame is held back until it is whole where the terminal can do that. */
const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const BEGIN_FRAME = '\u001b[?2026h\u001b[H';
const END_FRAME = '\u001b[J\u001b[?2026l';
const END_LINE = '\u001b[K';

async function draw(terminal: NodeJS.WriteStream): Promise<number> {
  const style = styleFor(terminal);
  const throughput = new Throughput();
  let last: ClientStatus | undefined;
  const show = (): void => {
    if (last === undefined) return;
    const { columns, rows } = terminal;
    const lines = watchScreen(last, throughput.samples, { columns, rows }, Date.now(), style);
    terminal.write(`${BEGIN_FRAME}${lines.map((line) => line + END_LINE).join('\r\n')}${END_FRAME}`);
  };
  const { stdin } = process;
  let leave = (): void => undefined;
  const left = new Promise<void>((resolve) => {
    leave = resolve;
  });
  const key = (chunk: Buffer): void => {
    // Ctrl-C is a letter like others here.
    if (/[qQ\u0003\u0004]/.test(chunk.toString('latin1'))) leave();
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, leave);
  terminal.write(ENTER);
  if (stdin.isTTY) stdin.setRawMode(true);
  stdin.on('data', key);
  stdin.on('end', leave);
  terminal.on('resize', show);
  try {
    const watching = ask(
      'watch',
      {},
      {
        silenceMs: Infinity,
        onEvent: (now) => {
          throughput.add(now, performance.now());
          last = now;
          show();
        },
      },
    );
    await Promise.race([watching, left]);
  } finally {
    stdin.off('data', key);
    if (stdin.isTTY) stdin.setRawMode(false);
    stdin.pause();
    terminal.off('resize', show);
    terminal.write(LEAVE);
  }
  // The connection to the daemon is still open, and holds the process.
  process.exit(0);
}
