/** Writes the manual, deploy/man/sallyport.1, from what the commands say of themselves: for packages. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { loadAllCommands, version } from '../apps/cli/src/command-list.ts';
import { manPage } from '../apps/cli/src/commands/man-page.ts';
import { commandText } from '../apps/cli/src/commands/option-table.ts';

const folder = join(import.meta.dirname, '../deploy/man');
mkdirSync(folder, { recursive: true });
writeFileSync(join(folder, 'sallyport.1'), manPage((await loadAllCommands()).map(commandText), version()));
