/** Asks as Node's own client does (argv: server, milliseconds for each of two tries, type, names) and prints the answers, or the codes of what failed, as JSON. */
import { Resolver } from 'node:dns/promises';

const [server = '', timeout = '', type = '', ...names] = process.argv.slice(2);
const resolver = new Resolver({ timeout: Number(timeout), tries: 2 });
resolver.setServers([server]);
const answers = await Promise.all(
  names.map((name) => resolver.resolve(name, type).catch((error: unknown) => (error as { code: string }).code)),
);
process.stdout.write(JSON.stringify(answers));
