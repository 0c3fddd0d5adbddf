/** The commands that work on the service's database itself, on the control plane's machine. */
import { existsSync } from 'node:fs';
import { backupCommand, restoreCommand, type ServiceChoice } from '@sallyport/server';
import type { Command, OptionValues } from '../command.ts';
import { CommandFailure, EXIT_NO_INPUT, requireRoot, tell } from '../command.ts';
import { askSecret, closeInput } from '../service/prompt.ts';

const PLACE = `  --data DIR           the service's data folder (default /var/lib/sallyport)
  --config FILE        the service's configuration file, where it has one`;

export const backup: Command = {
  name: 'backup',
  usage: 'FILE [--passphrase] [--data DIR] [--config FILE]',
  summary: 'write everything that the control plane keeps into a file, while it runs',
  help: `Writes users, devices, policy, audit log and the service's keys into a new file that only root can read. Whoever has
that file can pretend to be the service: keep it as you would keep its keys. A passphrase seals the keys in it, and
nothing else: who there is and what they may do stays readable.

Options:
  --passphrase         ask for a passphrase to seal the service's keys with (or read it from the standard input)
${PLACE}
  --json               print JSON

Examples:
  sallyport backup /root/sallyport-2027-01-31.backup
  sallyport backup --passphrase /mnt/backup/sallyport.backup < passphrase-file`,
  options: ['json', 'passphrase'],
  valued: ['data', 'config'],
  arguments: [1, 1],
  async run([file = ''], options, values) {
    requireRoot('backup');
    const passphrase = options.has('passphrase') ? await askOnce('A passphrase for the backup') : undefined;
    const { rows } = await backupCommand(choiceOf(values), file, passphrase);
    if (options.has('json')) process.stdout.write(`${JSON.stringify({ file, rows }, undefined, 2)}\n`);
    else tell(`${String(rows)} rows are in ${file}; whoever can read it has the service's keys`);
    return 0;
  },
};

export const restore: Command = {
  name: 'restore',
  usage: 'FILE [--passphrase] [--force] [--data DIR] [--config FILE]',
  summary: 'put a backup into a new, empty service, or with --force into one that has data',
  help: `Checks the backup whole before anything is touched. Start the service again afterwards: gateways then get the restored
state, and users have to log in again.

Options:
  --passphrase         ask for the passphrase that the keys were sealed with (or read it from the standard input)
  --force              replace what the database holds
${PLACE}
  --json               print JSON

Examples:
  sallyport restore /root/sallyport-2027-01-31.backup --data /srv/vpn
  sallyport restore --force /root/sallyport-2027-01-31.backup`,
  options: ['json', 'passphrase', 'force'],
  valued: ['data', 'config'],
  arguments: [1, 1],
  async run([file = ''], options, values) {
    requireRoot('restore');
    if (!existsSync(file)) throw new CommandFailure(EXIT_NO_INPUT, `${file}: there is no such file`);
    const passphrase = options.has('passphrase') ? await askOnce('The passphrase of the backup') : undefined;
    const result = await restoreCommand(choiceOf(values), file, { passphrase, force: options.has('force') });
    if (options.has('json')) process.stdout.write(`${JSON.stringify(result, undefined, 2)}\n`);
    else tell(`${String(result.rows)} rows, as they were at ${result.madeAt}, are in ${result.database}`);
    return 0;
  },
};

async function askOnce(question: string): Promise<string> {
  const passphrase = await askSecret(question);
  closeInput();
  return passphrase;
}

function choiceOf(values: OptionValues): ServiceChoice {
  return { data: values.get('data')?.at(-1), config: values.get('config')?.at(-1) };
}
