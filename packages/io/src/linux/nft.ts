import type { CommandRunner } from './run.ts';

/** The packet filter, by the `nft` program. */
export class Nft {
  readonly #runner: CommandRunner;

  constructor(runner: CommandRunner) {
    this.#runner = runner;
  }

  /** Applies a script whole, or not at all. */
  async apply(script: string): Promise<void> {
    await this.#runner.change('nft', ['-f', '-'], { input: script });
  }

  /** Deletes the tables of this name in every family; returns how many there were. */
  async deleteTables(name: string): Promise<number> {
    const tables = (await this.#runner.query('nft', ['list', 'tables']))
      .split('\n')
      .filter((line) => line.split(' ')[2] === name);
    if (tables.length > 0) await this.apply(tables.map((table) => `delete ${table}\n`).join(''));
    return tables.length;
  }
}
