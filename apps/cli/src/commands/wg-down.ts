import type { Command } from '../command.ts';
import { CommandFailure, EXIT_FAILED, requireRoot, tell } from '../command.ts';
import { NotUpError, takeDown } from '../wg-quick/down.ts';
import { loadConfig, locate } from '../wg-quick/locate.ts';
import type { Loaded } from '../wg-quick/locate.ts';

export const wgDown: Command = {
  name: 'wg down',
  usage: 'FILE.conf | NAME',
  summary: 'take a tunnel down',
  help: `Takes down what "sallyport wg up" brought up: runs PreDown, saves the configuration where SaveConfig asks for it, takes
back name servers, rules and packet filter, removes the interface, runs PostDown. A name is enough, wherever the file
is. It also clears what a tunnel has left behind whose device was killed.

Examples:
  sallyport wg down wg0
  sallyport wg down ./wg0.conf`,
  options: [],
  arguments: [1, 1],
  async run([argument = '']) {
    const located = locate(argument, { recorded: true });
    requireRoot(`wg down ${argument}`);
    let loaded: Loaded | undefined;
    try {
      loaded = loadConfig(argument, located);
    } catch (error) {
      if (!(error instanceof CommandFailure)) throw error;
      // A file that has become faulty must not keep the tunnel up.
      tell(error.message);
      tell(`Warning: without the configuration, the hooks and SaveConfig of ${located.name} are left out`);
    }
    try {
      const failures = await takeDown({ name: located.name, file: loaded?.path, config: loaded?.config, tell });
      for (const failure of failures) tell(`${located.name}: ${failure}`);
      return failures.length > 0 ? EXIT_FAILED : 0;
    } catch (error) {
      if (error instanceof NotUpError) throw new CommandFailure(EXIT_FAILED, error.message, { cause: error });
      throw error;
    }
  },
};
