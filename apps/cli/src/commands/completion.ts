import type { Command } from '../command.ts';
import { CommandFailure, EXIT_USAGE } from '../command.ts';
import { completionScript, type Shell } from './completion-scripts.ts';
import { commandText } from './option-table.ts';

const SHELLS: readonly string[] = ['bash', 'zsh', 'fish'] satisfies Shell[];

export const completion: Command = {
  name: 'completion',
  usage: 'bash|zsh|fish',
  summary: 'print what a shell needs to complete commands',
  help: `Prints a script that completes commands, options and, of "connect", the regions and gateways that you may use.

Examples:
  eval "$(sallyport completion bash)"
  sallyport completion zsh > "\${fpath[1]}/_sallyport"
  sallyport completion fish > ~/.config/fish/completions/sallyport.fish`,
  options: [],
  arguments: [1, 1],
  async run([shell = '']) {
    if (shell === 'places') return printPlaces();
    if (!SHELLS.includes(shell)) throw new CommandFailure(EXIT_USAGE, `there are completions for ${SHELLS.join(', ')}`);
    const { loadAllCommands } = await import('../command-list.ts');
    const { SETTING_KEYS } = await import('../client/setting-keys.ts');
    const known = { set: SETTING_KEYS.map(({ key }) => key), completion: SHELLS, daemon: ['lockdown'] };
    const commands = await loadAllCommands();
    process.stdout.write(completionScript(shell as Shell, commands.map(commandText), known));
    return 0;
  },
};

/** Somebody waits with a finger on the key. */
const PATIENCE_MS = 1500;

/** What the scripts ask: names of regions and gateways, a line each; nothing where the daemon doesn't say. */
async function printPlaces(): Promise<number> {
  const { ask } = await import('../client/daemon.ts');
  try {
    const { items } = await ask('regions', {}, { silenceMs: PATIENCE_MS });
    const names = items.flatMap(({ regionId, gateway }) => [regionId, gateway]);
    // They become words of a shell.
    const plain = [...new Set(names)].filter((name) => /^[\w.-]+$/.test(name));
    process.stdout.write(plain.map((name) => `${name}\n`).join(''));
  } catch {
    // There is nobody to tell.
  }
  return 0;
}
