import { realpathSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CommandRunner, Ip } from '@sallyport/io';
import { CommandFailure, EXIT_FAILED, EXIT_NO_INPUT, requireRoot, tell, type Command } from '../command.ts';
import { closeInput } from '../service/prompt.ts';
import { backgroundInteraction, isBackground, upInBackground } from './background.ts';
import { readAuthFile } from './credentials.ts';
import { terminalInteraction } from './interaction.ts';
import { interfaceNameOf, loadProfile } from './load.ts';
import { undoNetwork } from './network.ts';
import { isRunning, readTunnelRecord, removeTunnelRecord } from './record.ts';
import { Tunnel } from './tunnel.ts';
import { removeTunnelLog, tunnelLogOf, writeTunnelLog } from './tunnel-log.ts';

/** Longer than a goodbye, and what is undone after it. */
const DOWN_TIMEOUT_MS = 15_000;
const POLL_MS = 50;

export const openvpnUp: Command = {
  name: 'openvpn up',
  usage: '[--foreground] [--json] [--auth-file FILE] FILE.ovpn',
  summary: 'bring a tunnel up from an OpenVPN profile',
  help: `Reads a profile of any OpenVPN server, connects by UDP or TCP as it says, and sets addresses, routes and name servers as
the server wants it, on an interface that is named after the file. Every fault of the profile is named with its line and
what to write instead. User name, password and codes are asked for, and where the server has a page for logging in, its
address is shown. The servers of the profile are tried in turn; a connection that is lost is made again, and meanwhile
nothing passes beside the tunnel. Goes on in the background once the tunnel is up; what it has to say then is in
/run/sallyport/openvpn-NAME.log until it is taken down.

Scripts and plug-ins of a profile are not run, and compression is not spoken. Files that it names are read from its own
folder alone.

Options:
  --foreground      stay, and take the tunnel down on Ctrl-C or SIGTERM
  --json            print a line of JSON once the tunnel is up: {"event":"up","interface":…,"server":…,"cipher":…}
  --auth-file FILE  take the user name, the password and perhaps a code from the lines of this file

Examples:
  sallyport openvpn up ./office.ovpn
  sallyport openvpn up --auth-file login.txt --json ./office.ovpn
  sallyport openvpn up --foreground /etc/openvpn/client/office.ovpn`,
  options: ['foreground', 'json'],
  valued: ['auth-file'],
  arguments: [1, 1],
  async run([argument = ''], options, values) {
    const loaded = loadProfile(argument);
    const [authFile, ...more] = values.get('auth-file') ?? [];
    if (more.length > 0) throw new CommandFailure(EXIT_NO_INPUT, 'one --auth-file is enough');
    if (authFile !== undefined) readAuthFile(authFile);
    const inBackground = isBackground();
    if (!inBackground) for (const warning of loaded.warnings) tell(`Warning: ${warning}`);
    requireRoot(`openvpn up ${argument}`);
    const stop = new AbortController();
    for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
      process.once(name, () => {
        stop.abort();
      });
    }
    const terminal = terminalInteraction(options.has('json'), stop.signal);
    try {
      if (!options.has('foreground')) {
        const words = authFile === undefined ? [] : ['--auth-file', realpathSync(authFile)];
        await upInBackground([...words, '--', loaded.path], terminal, stop.signal);
        return 0;
      }
      if (inBackground) return await stayInBackground(loaded, authFile, stop);
      await new Tunnel({ ...loaded, authFile, interaction: terminal, signal: stop.signal }).run();
      return 0;
    } finally {
      closeInput();
    }
  },
};

async function stayInBackground(
  loaded: ReturnType<typeof loadProfile>,
  authFile: string | undefined,
  stop: AbortController,
): Promise<number> {
  // The terminal may be gone by then.
  process.stderr.on('error', () => undefined);
  const interaction = backgroundInteraction(
    () => {
      stop.abort();
    },
    (line) => {
      writeTunnelLog(loaded.name, line);
    },
  );
  try {
    await new Tunnel({ ...loaded, authFile, interaction, signal: stop.signal }).run();
    return 0;
  } catch (error) {
    const failure =
      error instanceof CommandFailure
        ? error
        : new CommandFailure(EXIT_FAILED, error instanceof Error ? error.message : String(error));
    await interaction.fail(failure);
    return failure.exitCode;
  } finally {
    if (process.connected) process.disconnect?.();
  }
}

export const openvpnDown: Command = {
  name: 'openvpn down',
  usage: 'FILE.ovpn | NAME',
  summary: 'take a tunnel of an OpenVPN profile down',
  help: `Takes down what "sallyport openvpn up" brought up: says goodbye to the server, takes back routes, rules, packet filter
and name servers, and removes the interface and the log. It also clears what a tunnel has left behind whose process was
killed; of one that ended by itself it names the log, which says why.

Examples:
  sallyport openvpn down office
  sallyport openvpn down ./office.ovpn`,
  options: [],
  arguments: [1, 1],
  async run([argument = '']) {
    const name = interfaceNameOf(argument);
    requireRoot(`openvpn down ${argument}`);
    const record = readTunnelRecord(name);
    if (record === undefined) {
      const log = tunnelLogOf(name);
      const why = log === undefined ? '' : ` any more; what it said last is in ${log}`;
      throw new CommandFailure(EXIT_FAILED, `${name} is not up${why}`);
    }
    if (isRunning(record)) {
      process.kill(record.pid, 'SIGTERM');
      const deadline = performance.now() + DOWN_TIMEOUT_MS;
      while (isRunning(record)) {
        if (performance.now() > deadline) {
          process.kill(record.pid, 'SIGKILL');
          break;
        }
        await sleep(POLL_MS);
      }
    }
    // Its process does it by itself; one that was killed could not.
    const left = readTunnelRecord(name);
    if (left === undefined) {
      removeTunnelLog(name);
      return 0;
    }
    const runner = new CommandRunner((line) => {
      tell(`[#] ${line}`);
    });
    const ip = new Ip(runner);
    const failures = await undoNetwork(name, left.undo, runner, tell);
    if ((await ip.linkMtu(name)) !== undefined) await ip.deleteLink(name);
    removeTunnelRecord(name);
    removeTunnelLog(name);
    for (const failure of failures) tell(`${name}: ${failure}`);
    return failures.length > 0 ? EXIT_FAILED : 0;
  },
};
