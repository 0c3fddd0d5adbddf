/** Asks as Node's own client does (argv: server, type, names) and prints the answers, or the codes of what failed, as JSON. */
import { Resolver } from 'node:dns/promises';

const [server = '', type = '', ...names] = process.argv.slice(2);
const resolver = new Resolver({ timeout: 2000, tries: 2 });
resolver.setServers([server]);
const answers = await Promise.all(
  names.map((name) => resolver.resolve(name, type).catch((error: unknown) => (error as { code: string }).code)),
);
process.stdout.write(JSON.stringify(answers));
