/** The control plane, put together: storage, organisation, gateways and API of one node. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { allRoutes } from '@sallyport/api';
import type { Logger } from 'pino';
import { Registry } from 'prom-client';
import { createIdentity, type IdentityOptions } from './auth/identity.ts';
import { createSetupToken } from './auth/setup-token.ts';
import { openDirectory } from './directory/open-directory.ts';
import { createApi, type ApiOptions } from './http/api.ts';
import { clientReader, limitKey } from './http/client-address.ts';
import type { ConsoleFiles } from './http/console-files.ts';
import { RateLimiter, type Rate } from './http/rate-limiter.ts';
import { keepHouse } from './housekeeping.ts';
import { openHub, refuseUpgrade, type Hub, type HubOptions } from './hub/hub.ts';
import { LiveFeed } from './live/live-feed.ts';
import { ControlMetrics } from './metrics/control-metrics.ts';
import { keepPools } from './pools.ts';
import { allEndpoints, allImplementations } from './routes/all.ts';
import { addJoinToken } from './routes/join-tokens.ts';
import type { Services } from './services.ts';
import { isConnectionLost } from './store/database-errors.ts';
import { openStore } from './store/open-store.ts';
import { SYSTEM } from './store/store.ts';

export interface ControlOptions {
  /** `sqlite:PATH` or `postgresql://…` */
  readonly databaseUrl: string;
  /** Made where the database is new. */
  readonly masterKeyFile: string;
  /** The address pools of devices, as prefixes; see {@link keepPools}. Without pool6 one is drawn by lot, once. */
  readonly pool4: string;
  readonly pool6?: string | undefined;
  /** How the service is reached from outside: `https://vpn.example.org`. */
  readonly publicUrl: string;
  readonly trustedProxies?: readonly string[];
  /** Of the software. */
  readonly version: string;
  /** What is shown to browsers; from `loadConsole`. Default: that there is no console. */
  readonly console?: ConsoleFiles;
  /** Unix milliseconds. */
  readonly now: () => number;
  readonly log: Logger;
  readonly identity?: IdentityOptions;
  /** Of the links to gateways; see the hub. */
  readonly times?: HubOptions['times'];
  /** See {@link ApiOptions}: for tests. */
  readonly rate?: ApiOptions['rate'];
  readonly checkResults?: boolean;
}

/** A control plane that runs. */
export interface Control {
  readonly services: Services;
  readonly hub: Hub;
  readonly metrics: Registry;
  /** For an HTTP server's 'request'. */
  readonly request: (request: IncomingMessage, response: ServerResponse) => void;
  /** For its 'upgrade': gateways. */
  readonly upgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  /** Where the first administrator is created, once; undefined while there is one. Takes the place of any link before. */
  createSetupUrl(): Promise<string | undefined>;
  /** A token by which the gateway of this very machine joins. */
  createJoinToken(): Promise<string>;
  /**
   * Lets gateways and open consoles go, which then look for another node or this one again, and stores what gateways
   * reported.
   */
  disconnect(): Promise<void>;
  /** Ends it, once its requests are answered. */
  close(): Promise<void>;
}

/** Enough for the gateway of this machine to start. */
const LOCAL_JOIN_SECONDS = 600;

/** Links that one address (IPv6: /64) may open: at once those of many gateways behind it, when the service starts. */
const UPGRADE_RATE: Rate = { burst: 256, perSecond: 20 };

/** Opens the database and starts to serve it. Throws what {@link isStorageAway} tells apart. */
export async function startControl(options: ControlOptions): Promise<Control> {
  const { now, log, version, publicUrl } = options;
  const { databaseUrl: url, masterKeyFile } = options;
  const store = await openStore({ url, masterKeyFile, now, log });
  try {
    const directory = await openDirectory(store, { ...(await keepPools(store, options)), log });
    const services: Services = { store, directory, now, log, publicUrl: () => publicUrl };
    const metrics = new Registry();
    const counters = new ControlMetrics(metrics);
    const identity = await createIdentity(services, options.identity);
    const hub = await openHub({
      services,
      people: identity,
      onApplied: counters.applied,
      ...(options.times === undefined ? {} : { times: options.times }),
    });
    counters.watch(services, hub);
    const live = new LiveFeed(services, { version });
    const request = createApi({
      services,
      contracts: allRoutes,
      implementations: allImplementations(identity, live),
      authenticate: identity.authenticate,
      metrics,
      readiness: [
        {
          name: 'storage',
          check: async () => {
            await store.db.selectFrom('settings').select('id').execute();
          },
        },
      ],
      version,
      endpoints: allEndpoints(identity),
      ...(options.console === undefined ? {} : { console: options.console }),
      trustedProxies: options.trustedProxies ?? [],
      checkResults: options.checkResults ?? false,
      ...(options.rate === undefined ? {} : { rate: options.rate }),
    });
    const readClient = clientReader(options.trustedProxies ?? []);
    const upgrades = new RateLimiter(UPGRADE_RATE);
    const stopHousekeeping = keepHouse(services);
    return {
      services,
      hub,
      metrics,
      request,
      upgrade: (incoming, socket, head) => {
        const { address } = readClient(incoming);
        if (upgrades.take(limitKey(address), now()) === 0) hub.handleUpgrade(incoming, socket, head, address);
        else refuseUpgrade(socket, '429 Too Many Requests');
      },
      createSetupUrl: async () => (await createSetupToken(services))?.url,
      createJoinToken: async () =>
        (await addJoinToken(services, SYSTEM, { expiresInSeconds: LOCAL_JOIN_SECONDS })).token,
      disconnect: () => {
        live.end();
        return hub.close();
      },
      close: async () => {
        stopHousekeeping();
        await live.close();
        await hub.close();
        await identity.close();
        directory.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Whether an error says that the database can't be reached now, and may be later. */
export function isStorageAway(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) if (isConnectionLost(cause)) return true;
  return false;
}
