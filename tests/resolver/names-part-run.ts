/** The name server as the supervisor runs it: follows the orders in a file (argv: settings as JSON, the file). */
import { readFileSync, watchFile } from 'node:fs';
import { namesOrder, type NamesSettings } from '../../apps/server/src/names/names-configuration.ts';
import { NamesPart } from '../../apps/server/src/names/names-part.ts';

const [settings = '', file = ''] = process.argv.slice(2);
const part = new NamesPart(JSON.parse(settings) as NamesSettings, (level, message) => {
  process.stderr.write(`${level}: ${message}\n`);
});
const follow = (): void => {
  part.update(namesOrder.parse(JSON.parse(readFileSync(file, 'utf8'))));
};
follow();
watchFile(file, { interval: 50 }, follow);
process.on('SIGTERM', () => void part.stop().then(() => process.exit(0)));
