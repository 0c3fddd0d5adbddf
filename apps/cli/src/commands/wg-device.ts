import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_FAILED, EXIT_USAGE, requireRoot, tell } from '../command.ts';
import { isInterfaceName } from '../wg-quick/locate.ts';

export const wgDevice: Command = {
  name: 'wg device',
  usage: '[--foreground] NAME',
  summary: 'make a WireGuard interface, to be configured by wg(8)',
  help: `Makes the interface NAME and waits to be configured through /var/run/wireguard/NAME.sock, so that "wg set", "wg setconf"
and "wg show" work on it: it takes the place of wireguard-go. Goes on in the background once the interface is there.
Removing the interface (ip link del NAME) ends it; SIGTERM removes the interface.

Options:
  --foreground, -f  stay in the foreground

Environment:
  LOG_LEVEL  silent, error (the usual one) or verbose

Examples:
  sallyport wg device wg0
  LOG_LEVEL=verbose sallyport wg device --foreground wg0`,
  options: ['foreground'],
  arguments: [1, 1],
  async run([name = ''], options) {
    if (!isInterfaceName(name)) {
      throw new CommandFailure(EXIT_USAGE, `"${name}" can't be an interface's name: 1 to 15 letters, digits or _=+.-`);
    }
    requireRoot(`wg device ${name}`);
    return options.has('foreground') ? stayInForeground(name) : goToBackground(name);
  },
};

type LogLevel = 'silent' | 'error' | 'verbose';

function logLevel(): LogLevel {
  const setting = process.env['LOG_LEVEL']?.toLowerCase();
  if (setting === 'verbose' || setting === 'debug') return 'verbose';
  return setting === 'silent' ? 'silent' : 'error';
}

/** What the process in the background tells the one that started it. */
type Report = { readonly ready: true } | { readonly failed: string };

async function stayInForeground(name: string): Promise<number> {
  const level = logLevel();
  try {
    const { startDevice } = await import('../device.ts');
    const log = (kind: 'error' | 'verbose', line: string): void => {
      if (level === 'verbose' || level === kind) tell(`${name}: ${line}`);
    };
    const device = await startDevice(name, { log });
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.once(signal, () => {
        device.close();
      });
    }
    report({ ready: true });
    await device.closed;
    return 0;
  } catch (error) {
    const message = `${name}: ${error instanceof Error ? error.message : String(error)}`;
    report({ failed: message });
    if (level === 'silent') return EXIT_FAILED;
    throw new CommandFailure(EXIT_FAILED, message, { cause: error });
  }
}

/** Tells the process that waits for this one, if one does, and lets it go. */
function report(message: Report): void {
  if (!process.connected) return;
  process.send?.(message, undefined, {}, () => {
    process.disconnect?.();
  });
}

/** Starts this command again in the foreground of a session of its own, and waits until it is ready. */
async function goToBackground(name: string): Promise<number> {
  const main = fileURLToPath(new URL('../main.ts', import.meta.url));
  const output = logLevel() === 'verbose' ? 'inherit' : 'ignore';
  const child = spawn(process.execPath, [...process.execArgv, main, 'wg', 'device', '--foreground', name], {
    cwd: '/',
    detached: true,
    stdio: ['ignore', output, output, 'ipc'],
  });
  return new Promise((resolve, reject) => {
    let reported = false;
    child.on('message', (message: Report) => {
      reported = true;
      if ('failed' in message) reject(new CommandFailure(EXIT_FAILED, message.failed));
      else {
        child.disconnect();
        child.unref();
        resolve(0);
      }
    });
    child.on('error', (error) => {
      reject(new CommandFailure(EXIT_FAILED, `${name}: can't start the device: ${error.message}`, { cause: error }));
    });
    child.on('exit', (exitCode, signal) => {
      if (reported) return;
      const how = signal === null ? `with exit code ${String(exitCode)}` : `by ${signal}`;
      const advice = `to see why, run: sallyport wg device --foreground ${name}`;
      reject(new CommandFailure(EXIT_FAILED, `${name}: the device ended ${how} before it was ready; ${advice}`));
    });
  });
}
