import type { Command } from '../command.ts';
import { CommandFailure, EXIT_FAILED, requireRoot, tell } from '../command.ts';
import { deviceProgram } from '../wg-quick/device-program.ts';
import { NotUpError, takeDown } from '../wg-quick/down.ts';
import { retriesOf } from '../wg-quick/endpoints.ts';
import { loadConfig, locate } from '../wg-quick/locate.ts';
import { readRecord } from '../wg-quick/session.ts';
import { bringUp, UpError } from '../wg-quick/up.ts';
import type { UpRequest } from '../wg-quick/up.ts';

export const wgUp: Command = {
  name: 'wg up',
  usage: '[--foreground] FILE.conf | NAME',
  summary: 'bring a tunnel up from a wg-quick configuration file',
  help: `Reads a configuration file in the format of wg-quick(8), makes the interface that the file is named after, and sets
keys, peers, addresses, MTU, name servers and routes. NAME stands for /etc/sallyport/NAME.conf or
/etc/wireguard/NAME.conf. Every fault of the file is named with its line and what to write instead, and then nothing is
touched. Where a later step fails, the earlier ones are undone.

Options:
  --foreground  stay, and take the tunnel down on Ctrl-C or SIGTERM

Environment:
  WG_ENDPOINT_RESOLUTION_RETRIES  how often the name of an endpoint is looked up again: a number (15), or infinity
  SALLYPORT_DEVICE_PROGRAM        another program to make the interface, with the arguments of wireguard-go
  LOG_LEVEL                       what the device logs: silent, error or verbose

Examples:
  sallyport wg up ./wg0.conf
  sallyport wg up wg0
  sallyport wg up --foreground /etc/wireguard/office.conf`,
  options: ['foreground'],
  arguments: [1, 1],
  async run([argument = ''], options) {
    const located = locate(argument);
    const { config, path, warnings } = loadConfig(argument, located);
    for (const warning of warnings) tell(`Warning: ${warning}`);
    requireRoot(`wg up ${argument}`);
    const stop = stopSignal();
    const request: UpRequest = {
      name: located.name,
      file: path,
      config,
      device: deviceProgram(process.env['SALLYPORT_DEVICE_PROGRAM']),
      foreground: options.has('foreground'),
      resolutionRetries: retriesOf(process.env['WG_ENDPOINT_RESOLUTION_RETRIES']),
      signal: stop,
      tell,
    };
    try {
      const device = await bringUp(request);
      return device === undefined ? 0 : await stay(request, device);
    } catch (error) {
      if (!(error instanceof UpError)) throw error;
      const rest = error.leftovers.map((leftover) => `\ncould not be undone: ${leftover}`).join('');
      throw new CommandFailure(EXIT_FAILED, `${error.message}\n${located.name} is not up${rest}`, { cause: error });
    }
  },
};

/** Fires at Ctrl-C and SIGTERM; the second one then ends the process as usual. */
function stopSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(name, () => {
      controller.abort();
    });
  }
  return controller.signal;
}

/** Waits for a signal, or for the device to end, and takes the tunnel down. */
async function stay(request: UpRequest, device: NonNullable<Awaited<ReturnType<typeof bringUp>>>): Promise<number> {
  const { name, file, config, signal } = request;
  tell(`${name} is up; Ctrl-C takes it down`);
  const stopped = new Promise<'stopped'>((resolve) => {
    if (signal.aborted) resolve('stopped');
    signal.addEventListener('abort', () => {
      resolve('stopped');
    });
  });
  const why = await Promise.race([stopped, device.ended]);
  // "wg down" in another process ends the device too, and does the rest there.
  if (why !== 'stopped' && readRecord(name) === undefined) return 0;
  if (why !== 'stopped')
    tell(`${name}: the device ended${why === undefined ? '' : `: it ${why}`}; taking the tunnel down`);
  const failures = await takeDown({ name, file, config, tell }).catch((error: unknown) => {
    if (error instanceof NotUpError) return [];
    throw error;
  });
  await device.stop();
  for (const failure of failures) tell(`${name}: ${failure}`);
  return failures.length > 0 || (why !== 'stopped' && why !== undefined) ? EXIT_FAILED : 0;
}
