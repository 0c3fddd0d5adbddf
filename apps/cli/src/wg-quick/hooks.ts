import { spawn } from 'node:child_process';
import { findProgram, systemPath } from '@sallyport/io';

/** A hook failed, or was interrupted. */
export class HookError extends Error {
  readonly code = 'hookFailed';

  constructor(hook: string, ended: string, options?: ErrorOptions) {
    super(`the command "${hook}" ${ended}`, options);
    this.name = 'HookError';
  }
}

/**
 * Runs the commands of one of PreUp, PostUp, PreDown and PostDown, in order, each by bash where it is installed, which
 * is what the format promises them, by sh otherwise; `%i` is the interface. Stops at the first that fails.
 */
export async function runHooks(
  hooks: readonly string[],
  name: string,
  tell: (line: string) => void,
  signal?: AbortSignal,
): Promise<void> {
  for (const hook of hooks) {
    const command = hook.replaceAll('%i', name);
    tell(command);
    await runHook(command, signal);
  }
}

function runHook(command: string, signal: AbortSignal | undefined): Promise<void> {
  const shell = findProgram('bash') ?? findProgram('sh') ?? '/bin/sh';
  return new Promise((resolve, reject) => {
    const child = spawn(shell, ['-c', command], {
      stdio: 'inherit',
      env: { ...process.env, PATH: systemPath() },
      ...(signal === undefined ? {} : { signal }),
    });
    child.on('error', (error) => {
      const ended = error.name === 'AbortError' ? 'was interrupted' : `could not be run: ${error.message}`;
      reject(new HookError(command, ended, { cause: error }));
    });
    child.on('exit', (exitCode, killedBy) => {
      if (exitCode === 0) resolve();
      else {
        const ended = killedBy === null ? `failed with exit code ${String(exitCode)}` : `was ended by ${killedBy}`;
        reject(new HookError(command, ended));
      }
    });
  });
}
