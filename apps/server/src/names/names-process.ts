/**
 * The process that answers names: takes port 53 of the gateway's tunnel addresses as root, becomes nobody in particular, and
 * only then reads the first question. It never logs a name that was asked for, nor who asked.
 */
import { Resolver as SystemResolver } from 'node:dns';
import { createSecureContext, getCACertificates } from 'node:tls';
import { dropPrivileges, readConfiguration } from '@sallyport/privileged';
import { BlockListStore, NameServer, parseUpstream, Resolver, type NamesPlan } from '@sallyport/resolver';
import { pino } from 'pino';
import { finishLoading } from '../finish-loading.ts';
import { namesChange, namesConfiguration, type NamesConfiguration } from './names-configuration.ts';

const BIND_RETRY_MS = 250;
/** The gateway's helper gives the interface its addresses in less. */
const BIND_PATIENCE_MS = 10_000;
const SYSTEM_SERVERS_MS = 30_000;

process.umask(0o077);
const { configuration, parentGone } = await readConfiguration();
const settings = namesConfiguration.parse(configuration);
const log = pino({ base: { name: 'names' }, level: settings.logLevel }, pino.destination({ dest: 2, sync: true }));

let { plan, clients } = settings;
let apply: (() => void) | undefined;
process.on('message', (value) => {
  const change = namesChange.safeParse(value);
  if (!change.success) return;
  ({ plan, clients } = change.data);
  apply?.();
});
// The supervisor is asked to stop in these ways, and then ends this process in its turn.
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
process.on('SIGTERM', () => process.exit(0));
void parentGone.then(() => process.exit(0));

const server = await bind(settings);
finishLoading();
dropPrivileges(settings.user.uid, settings.user.gid);
serve();

/** The addresses come and go with the gateway's interface. */
async function bind({ addresses, port }: NamesConfiguration): Promise<NameServer> {
  const patientUntil = performance.now() + BIND_PATIENCE_MS;
  let isTold = false;
  for (;;) {
    try {
      return await NameServer.bind(addresses, port);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EADDRNOTAVAIL' && code !== 'EADDRINUSE') throw error;
      if (!isTold && performance.now() > patientUntil) {
        isTold = true;
        const why = code === 'EADDRINUSE' ? 'another program answers there' : 'there are no such addresses here yet';
        log.warn(`port ${String(port)} of ${addresses.join(', ')} can't be taken: ${why}; it is tried again`);
      }
      await new Promise((resolve) => setTimeout(resolve, BIND_RETRY_MS));
    }
  }
}

function serve(): void {
  // Made once: each would hold all authorities again. The machine's own count as well, for servers of one's own.
  const context = createSecureContext({ ca: [...getCACertificates('bundled'), ...getCACertificates('system')] });
  const resolver = new Resolver(plan, { context });
  const lists = new BlockListStore({
    folder: settings.folder,
    context,
    onNames: (names) => {
      resolver.setBlockLists(names);
      if (names.size > 0) log.info(`${String(names.size)} names of block lists are blocked`);
    },
    onProblem: (message) => {
      log.warn(message);
    },
  });
  let applied = '';
  let appliedLists = '';
  const set = (): void => {
    // Where the plan names no servers, those of the machine count, which may change at any time.
    const system = plan.upstreams.length === 0 ? new SystemResolver().getServers() : [];
    const text = JSON.stringify([plan, system]);
    if (text !== applied) {
      if (applied !== '') resolver.setPlan(plan);
      tellFaults(plan);
    }
    applied = text;
    const listText = JSON.stringify(plan.blockLists);
    if (listText !== appliedLists && (appliedLists !== '' || plan.blockLists.length > 0))
      lists.setUrls(plan.blockLists);
    appliedLists = listText;
  };
  apply = () => {
    server.allow(clients);
    set();
  };
  server.serve(resolver, { clients });
  set();
  setInterval(set, SYSTEM_SERVERS_MS);
  log.info(`names are answered at ${settings.addresses.join(' and ')}`);
}

function tellFaults({ upstreams, domains }: NamesPlan): void {
  for (const text of [...upstreams, ...domains.flatMap(({ servers }) => servers)])
    if (parseUpstream(text) === undefined) log.warn(`"${text}" is no name server and is left out`);
}
