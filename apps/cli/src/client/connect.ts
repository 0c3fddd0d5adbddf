import { clearLine, cursorTo, moveCursor } from 'node:readline';
import type { ClientStatus } from '@sallyport/client';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_FAILED, tell } from '../command.ts';
import { ask } from './daemon.ts';
import { formatMilliseconds } from './format.ts';
import { placeOf, statusText } from './status-text.ts';
import { paint, printable, sign, styleFor, type Style } from './terminal.ts';

export const connect: Command = {
  name: 'connect',
  usage: '[REGION|GATEWAY|fastest] [OPTION...]',
  summary: 'connect this machine to the VPN',
  help: `Connects by the gateway or region that is named, by its id or name, or by the fastest that you may use; without a name,
where the setting "target" says. Each step is shown as it happens. From here on nothing leaves this machine but to the
gateway (the setting "kill-switch"), also while the connection is lost and looked for again.

Options:
  --via ENTRY         enter at this gateway and leave at the other one: the entry can't see where you go, the exit not
                      where you come from; "none": by one gateway, whatever the setting "via" says
  --advertise LIST    offer these networks behind this machine to others: 10.1.0.0/24,fd10::/64; an administrator
                      approves them; "none" takes all back
  --json              print the status as JSON when it is done

Examples:
  sallyport connect
  sallyport connect frankfurt
  sallyport connect oslo-1 --via frankfurt-1
  sallyport connect --advertise 10.1.0.0/24`,
  options: ['json'],
  valued: ['via', 'advertise'],
  arguments: [0, 1],
  async run([target], options, values) {
    const json = options.has('json');
    const begun = performance.now();
    const progress = json ? undefined : new Progress(process.stderr);
    let status: ClientStatus;
    try {
      status = await ask(
        'connect',
        {
          target: target ?? null,
          via: values.get('via')?.at(-1) ?? null,
          advertise: listOf(values.get('advertise')),
        },
        { onEvent: ({ steps }) => progress?.show(steps), silenceMs: Infinity },
      );
      progress?.show(status.steps);
    } finally {
      progress?.end();
    }
    const milliseconds = Math.round(performance.now() - begun);
    if (json) process.stdout.write(`${JSON.stringify({ ...status, milliseconds }, undefined, 2)}\n`);
    const exit = status.hops.at(-1);
    if (status.state !== 'connected' || exit === undefined) {
      throw new CommandFailure(EXIT_FAILED, status.message === '' ? `the client is ${status.state}` : printable(status.message)); // prettier-ignore
    }
    if (!json) tell(`connected to ${placeOf(exit)} in ${String(milliseconds)} ms`);
    return 0;
  },
};

export const disconnect: Command = {
  name: 'disconnect',
  usage: '[--json]',
  summary: 'end the connection to the VPN',
  help: `Takes the tunnel down and puts routes, packet filter and name servers back as they were. With the setting "lockdown"
nothing leaves this machine from then on until you connect again.

Options:
  --json  print the status as JSON

Example:
  sallyport disconnect`,
  options: ['json'],
  arguments: [0, 0],
  async run(_words, options) {
    const status = await ask('disconnect', {});
    if (options.has('json')) process.stdout.write(`${JSON.stringify(status, undefined, 2)}\n`);
    else if (status.state !== 'disconnected') tell(statusText(status, Date.now(), styleFor(process.stderr)));
    else {
      const locked = status.killSwitch === 'lockdown';
      tell(locked ? 'disconnected; lockdown is on, so nothing leaves this machine now' : 'disconnected');
    }
    return 0;
  },
};

/** `A,B`, given once or several times; undefined is not given, `none` empties. */
function listOf(given: readonly string[] | undefined): string[] | null {
  if (given === undefined) return null;
  const items = given.flatMap((text) => text.split(',')).map((item) => item.trim());
  return items.filter((item) => item !== '' && item !== 'none');
}

type Step = ClientStatus['steps'][number];

const titles: Readonly<Record<Step['name'], string>> = {
  configuration: 'Configuration',
  gateway: 'Gateway',
  protection: 'Protection',
  tunnel: 'Tunnel',
  names: 'Names',
  ready: 'Ready',
};
const titleWidth = Math.max(...Object.values(titles).map((title) => title.length));
const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const plainFrames = ['|', '/', '-', '\\'];
const FRAME_MS = 80;

/** A step on a line. `frame` counts up while it runs. */
export function stepLine({ name, state, detail, milliseconds }: Step, frame: number, style: Style): string {
  const spinner = style.unicode ? frames : plainFrames;
  const mark =
    state === 'running'
      ? paint(`${spinner[frame % spinner.length] ?? ''} running`, 'cyan', style)
      : sign(state === 'done' ? 'ok' : 'fault', style);
  const title = titles[name].padEnd(titleWidth);
  const time = milliseconds === null ? '' : `  ${paint(formatMilliseconds(milliseconds), 'faint', style)}`;
  return `${mark}  ${title}  ${printable(detail)}${time}`.trimEnd();
}

/** Shows steps as they happen: redrawn in place on a terminal, else a line for each that has ended. */
class Progress {
  readonly #stream: NodeJS.WriteStream;
  readonly #style: Style;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #told = new Set<string>();
  #steps: readonly Step[] = [];
  #lines = 0;
  #frame = 0;

  constructor(stream: NodeJS.WriteStream) {
    this.#stream = stream;
    this.#style = styleFor(stream);
    if (stream.isTTY) {
      this.#timer = setInterval(() => {
        this.#frame++;
        this.#draw();
      }, FRAME_MS).unref();
    }
  }

  show(steps: readonly Step[]): void {
    this.#steps = steps;
    if (this.#stream.isTTY) {
      this.#draw();
      return;
    }
    for (const step of steps) {
      const told = JSON.stringify(step);
      if (step.state === 'running' || this.#told.has(told)) continue;
      this.#told.add(told);
      this.#stream.write(`${stepLine(step, 0, this.#style)}\n`);
    }
  }

  end(): void {
    clearInterval(this.#timer);
  }

  #draw(): void {
    const { columns } = this.#stream;
    if (this.#lines > 0) moveCursor(this.#stream, 0, -this.#lines);
    for (const step of this.#steps) {
      cursorTo(this.#stream, 0);
      // A line that the terminal breaks would not be found again.
      const line = stepLine(step, this.#frame, { ...this.#style, colour: false });
      const shown = line.length < columns ? stepLine(step, this.#frame, this.#style) : line.slice(0, columns - 1);
      this.#stream.write(shown);
      clearLine(this.#stream, 1);
      this.#stream.write('\n');
    }
    for (let extra = this.#steps.length; extra < this.#lines; extra++) {
      clearLine(this.#stream, 0);
      this.#stream.write('\n');
    }
    this.#lines = Math.max(this.#lines, this.#steps.length);
  }
}
