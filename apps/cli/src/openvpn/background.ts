/** A tunnel in a process of its own, which asks by way of the one that a person called. */
import { spawn, type ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { CommandFailure, EXIT_FAILED } from '../command.ts';
import { upLine, type Interaction } from './interaction.ts';
import { upFacts, type UpFacts } from './record.ts';

/** Set for the process in the background. */
const MARKER = 'SALLYPORT_OPENVPN_BACKGROUND';

/** What is kept of a fault that nobody expected. */
const MAX_COMPLAINT = 4_000;

/** What the process in the background says. */
const said = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ask'), question: z.string(), secret: z.boolean() }),
  z.object({ kind: z.literal('tell'), line: z.string() }),
  z.object({ kind: z.literal('up'), facts: upFacts }),
  z.object({ kind: z.literal('failed'), message: z.string(), exitCode: z.number() }),
]);
type Said = z.infer<typeof said>;

const answer = z.object({ kind: z.literal('answer'), text: z.string() });

/** Starts it, and waits until the tunnel is up. Throws a CommandFailure where it does not come up. */
export async function upInBackground(
  args: readonly string[],
  interaction: Interaction,
  signal: AbortSignal,
): Promise<void> {
  const main = fileURLToPath(new URL('../main.ts', import.meta.url));
  const child = spawn(process.execPath, [main, 'openvpn', 'up', '--foreground', ...args], {
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    env: { ...process.env, [MARKER]: '1' },
    // Ctrl-C is for this process, which passes it on.
    detached: true,
  });
  const stop = (): void => {
    child.kill('SIGTERM');
  };
  signal.addEventListener('abort', stop);
  try {
    await untilUp(child, interaction);
    child.disconnect();
    child.stderr?.destroy();
    child.unref();
  } catch (error) {
    child.kill('SIGTERM');
    throw error;
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

function untilUp(child: ChildProcess, interaction: Interaction): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: CommandFailure | undefined;
    let complaint = '';
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      complaint = (complaint + text).slice(-MAX_COMPLAINT);
    });
    child.on('error', reject);
    // Behind all that it has said.
    child.on('close', () => {
      reject(failure ?? new CommandFailure(EXIT_FAILED, `the tunnel did not come up\n${complaint}`.trim()));
    });
    child.on('message', (value) => {
      const { success, data: message } = said.safeParse(value);
      if (!success) return;
      if (message.kind === 'tell') interaction.tell(message.line);
      else if (message.kind === 'failed') failure = new CommandFailure(message.exitCode, message.message);
      else if (message.kind === 'up') {
        interaction.up(message.facts);
        resolve();
      } else {
        interaction.ask(message.question, message.secret).then((text) => {
          if (child.connected) child.send({ kind: 'answer', text });
        }, reject);
      }
    });
  });
}

export function isBackground(): boolean {
  return process.env[MARKER] === '1' && process.send !== undefined;
}

/**
 * The other end: questions go to whoever called, for as long as that one is there, and so does what there is to say; `log`
 * has it afterwards. `abandoned` hears of the end before it is up.
 */
export function backgroundInteraction(
  abandoned: () => void,
  log: (line: string) => void,
): Interaction & { fail(error: CommandFailure): Promise<void> } {
  let up = false;
  process.on('disconnect', () => {
    if (!up) abandoned();
  });
  const send = (message: Said): void => {
    if (process.connected) process.send?.(message, () => undefined);
  };
  return {
    ask: (question, secret) =>
      new Promise((resolve, reject) => {
        const gone = (): void => {
          reject(
            new CommandFailure(EXIT_FAILED, `nobody is there to be asked: ${question}; bring the tunnel up again`),
          );
        };
        if (!process.connected) {
          gone();
          return;
        }
        process.once('disconnect', gone);
        process.once('message', (value) => {
          process.off('disconnect', gone);
          const { success, data } = answer.safeParse(value);
          if (success) resolve(data.text);
          else gone();
        });
        send({ kind: 'ask', question, secret });
      }),
    tell: (line) => {
      if (process.connected) send({ kind: 'tell', line });
      else log(line);
    },
    up: (what: UpFacts) => {
      up = true;
      log(upLine(what));
      send({ kind: 'up', facts: what });
    },
    fail: ({ message, exitCode }) =>
      new Promise((resolve) => {
        const failed: Said = { kind: 'failed', message, exitCode };
        if (process.connected) process.send?.(failed, () => resolve());
        else {
          log(`the tunnel has ended: ${message}`);
          resolve();
        }
      }),
  };
}
