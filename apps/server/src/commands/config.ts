import { existsSync, readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { ConfigurationError, DEFAULT_FILE, readConfigurationFile } from '../config/read.ts';

const EXIT_BAD_INPUT = 65;
const EXIT_NO_INPUT = 66;

/** `sallyport config check [FILE]`: names every fault of a configuration file with its line. Returns the exit code. */
export function checkConfiguration(file: string | undefined): number {
  try {
    readConfigurationFile(file === undefined ? undefined : resolve(file));
  } catch (error) {
    if (!(error instanceof ConfigurationError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return error.code === 'unreadable' ? EXIT_NO_INPUT : EXIT_BAD_INPUT;
  }
  const isThere = file !== undefined || existsSync(DEFAULT_FILE);
  process.stdout.write(
    isThere
      ? `${file ?? DEFAULT_FILE}: no fault found\n`
      : `${DEFAULT_FILE}: there is no such file, and none is needed: everything is at its default\n`,
  );
  return 0;
}

/** `sallyport config show --default`: a whole configuration file, every key explained. */
export function defaultConfiguration(): string {
  return readFileSync(new URL('../config/sallyport.toml', import.meta.url), 'utf8');
}

/** `sallyport config show [FILE]`: what is in force, defaults included, as JSON. Throws ConfigurationError. */
export function effectiveConfiguration(file: string | undefined): string {
  return JSON.stringify(readConfigurationFile(file === undefined ? undefined : resolve(file)), null, 2);
}
