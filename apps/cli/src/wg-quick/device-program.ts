import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { setTimeout as sleep } from 'node:timers/promises';
import { getDevice, UapiClientError } from '@sallyport/runtime';

/** The program that makes an interface of a name and serves its socket: our own `wg device`, or one like wireguard-go. */
export interface DeviceProgram {
  readonly program: string;
  readonly args: readonly string[];
  /** How the program is told to people. */
  readonly title: string;
}

/** The device program could not be started, or ended. */
export class DeviceProgramError extends Error {
  readonly code = 'deviceFailed';

  constructor(message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DeviceProgramError';
  }
}

const READY_TIMEOUT_MS = 15_000;
const STOP_TIMEOUT_MS = 3000;
const POLL_MS = 20;

/** `setting` is the environment variable SALLYPORT_DEVICE_PROGRAM: a program that takes wireguard-go's arguments. */
export function deviceProgram(setting: string | undefined): DeviceProgram {
  if (setting !== undefined && setting !== '') return { program: setting, args: [], title: setting };
  const main = fileURLToPath(new URL('../main.ts', import.meta.url));
  return { program: process.execPath, args: [main, 'wg', 'device'], title: 'sallyport wg device' };
}

/** Starts a device that goes on when this process ends, and waits until it can be configured. */
export async function startInBackground(device: DeviceProgram, name: string, signal: AbortSignal): Promise<void> {
  const child = spawn(device.program, [...device.args, name], { stdio: ['ignore', 'ignore', 'inherit'] });
  const ended = await endOf(child, device);
  if (ended !== undefined) throw new DeviceProgramError(`${device.title} ${name} ${ended}`);
  await untilReady(device, name, signal, () => undefined);
}

export interface ForegroundDevice {
  /** Ends when the device has: undefined where it ended well, else how it ended. */
  readonly ended: Promise<string | undefined>;
  /** Waits until the device has ended with its interface, and ends it where it has not in time. */
  stop(): Promise<void>;
}

/**
 * Starts a device that belongs to this process, and waits until it can be configured. It has a process group of its
 * own: Ctrl-C is for this process, which takes the tunnel down in order.
 */
export async function startInForeground(
  device: DeviceProgram,
  name: string,
  signal: AbortSignal,
): Promise<ForegroundDevice> {
  const child = spawn(device.program, [...device.args, '--foreground', name], {
    stdio: ['ignore', 'inherit', 'inherit'],
    detached: true,
  });
  let result: string | undefined | null = null;
  const ended = endOf(child, device).then((how) => (result = how));
  ended.catch(() => undefined);
  try {
    await Promise.race([
      ended,
      untilReady(device, name, signal, () => (result === null ? undefined : (result ?? 'ended before it was ready'))),
    ]);
    if (result !== null) throw new DeviceProgramError(`${device.title} ${name} ${String(result ?? 'ended at once')}`);
  } catch (error) {
    child.kill('SIGTERM');
    throw error;
  }
  const stop = async () => {
    const timer = setTimeout(() => child.kill('SIGTERM'), STOP_TIMEOUT_MS);
    await ended.catch(() => undefined);
    clearTimeout(timer);
  };
  return { ended, stop };
}

async function untilReady(
  device: DeviceProgram,
  name: string,
  signal: AbortSignal,
  failed: () => string | undefined,
): Promise<void> {
  const deadline = performance.now() + READY_TIMEOUT_MS;
  for (;;) {
    try {
      await getDevice(name);
      return;
    } catch (error) {
      if (!(error instanceof UapiClientError) || error.code !== 'noDevice') throw error;
      const how = failed();
      if (how !== undefined) throw new DeviceProgramError(`${device.title} ${name} ${how}`, { cause: error });
      if (performance.now() > deadline) {
        throw new DeviceProgramError(`${device.title} ${name} made no configuration socket in time`, { cause: error });
      }
    }
    await sleep(POLL_MS, undefined, { signal });
  }
}

/** How a program ended: undefined where it ended well. */
function endOf(child: ChildProcess, device: DeviceProgram): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    child.on('error', (error: NodeJS.ErrnoException) => {
      const why = error.code === 'ENOENT' ? 'is not installed' : `could not be started: ${error.message}`;
      reject(new DeviceProgramError(`the device program ${device.title} ${why}`, { cause: error }));
    });
    child.on('exit', (exitCode, killedBy) => {
      if (exitCode === 0) resolve(undefined);
      else resolve(killedBy === null ? `failed with exit code ${String(exitCode)}` : `was ended by ${killedBy}`);
    });
  });
}
