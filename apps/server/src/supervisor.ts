/**
 * The process that `sallyport server` is: it starts the others, starts them again, ends them in order, and reads nothing
 * from the network. It stays root, which is what the others can't be.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { preflight, type PreflightResult } from '@sallyport/privileged';
import { reachOf, type Reach } from './addresses.ts';
import { CarrierPart } from './carrier/carrier-part.ts';
import { openvpnTcpPort, tlsFactsOf } from './carrier/tls-facts.ts';
import { announce, type ServerFacts } from './announcement.ts';
import { ConfigurationError } from './config/read.ts';
import type { Configuration } from './config/schema.ts';
import { ControlPart } from './control-part.ts';
import { DataFolderError, lockDataFolder, prepareDataFolders, type DataFolders } from './data-folders.ts';
import { GatewayPart } from './gateway-part.ts';
import { createLog, type Log } from './log.ts';
import { readMembership, type Membership } from './membership.ts';
import { notifyServiceManager } from './notify.ts';
import { NamesPart } from './names/names-part.ts';
import {
  carrierSettings,
  controlSettings,
  gatewaySettings,
  helperSettings,
  namesSettings,
  type CarrierFacts,
} from './settings.ts';
import { EXIT_FAILED, EXIT_NOT_PERMITTED, StartError } from './start-error.ts';
import { version } from './version.ts';

export interface ServerOptions {
  readonly json: boolean;
  /** Standard output. */
  readonly print: (text: string) => void;
}

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;

/** Runs the service until it is told to stop. The result is the exit code; what went wrong has been said by then. */
export async function runServer(configuration: Configuration, options: ServerOptions): Promise<number> {
  const complain = (text: string): void => void process.stderr.write(`sallyport: ${text}\n`);
  if (process.geteuid?.() !== 0) {
    complain('this takes root, for the tunnel and for low ports; run it with sudo');
    return EXIT_NOT_PERMITTED;
  }
  const service = new Service(configuration, createLog('supervisor', configuration.log.level));
  const stop = Promise.withResolvers<'stop'>();
  const onSignal = (): void => {
    stop.resolve('stop');
  };
  // A terminal that closes, or Ctrl-C, ends it as `systemctl stop` does.
  for (const signal of SIGNALS) process.on(signal, onSignal);
  try {
    const facts = await Promise.race([service.start(), stop.promise]);
    if (facts === 'stop') return 0;
    options.print(options.json ? JSON.stringify(facts) : announce(facts, configuration));
    notifyServiceManager('--ready');
    await Promise.race([service.failed, stop.promise]);
    return 0;
  } catch (error) {
    if (!(error instanceof StartError || error instanceof DataFolderError || error instanceof ConfigurationError))
      throw error;
    complain(error.message);
    return error instanceof StartError ? error.exitCode : EXIT_FAILED;
  } finally {
    notifyServiceManager('--stopping');
    await service.stop();
    for (const signal of SIGNALS) process.off(signal, onSignal);
  }
}

class Service {
  readonly #configuration: Configuration;
  readonly #log: Log;
  #control: ControlPart | undefined;
  #gateway: GatewayPart | undefined;
  #carrier: CarrierPart | undefined;
  #unlock: (() => void) | undefined;
  #fail: (error: StartError) => void;
  /** Rejects with a StartError when it can't run on. */
  readonly failed: Promise<never>;

  constructor(configuration: Configuration, log: Log) {
    this.#configuration = configuration;
    this.#log = log;
    const { promise, reject } = Promise.withResolvers<never>();
    this.failed = promise;
    promise.catch(() => undefined);
    this.#fail = reject;
  }

  /** Settles when it is ready. Throws StartError and DataFolderError. */
  async start(): Promise<ServerFacts> {
    const { control, gateway, process: users, data, web } = this.#configuration;
    this.#unlock = lockDataFolder(data);
    const folders = prepareDataFolders(data, {
      ...(control.enabled ? { control: users.controlUid } : {}),
      ...(gateway.enabled ? { gateway: users.gatewayUid, carrier: users.carrierUid, names: users.namesUid } : {}),
    });
    const reach = reachOf(this.#configuration);
    // While the control plane starts, which notices by itself what it lacks.
    const checked = gateway.enabled ? this.#checkMachine() : Promise.resolve();
    checked.catch(() => undefined);
    const gatewayHasJoined = existsSync(join(folders.gateway, GATEWAY_MEMBERSHIP));
    if (control.enabled) {
      const joinToken = gateway.enabled && !gatewayHasJoined;
      // Once: after a restart of its process the gateway has joined.
      const first = controlSettings(this.#configuration, folders, reach, joinToken);
      let starts = 0;
      const settings = () => (starts++ === 0 ? first : controlSettings(this.#configuration, folders, reach, false));
      this.#control = new ControlPart(settings, this.#log);
      if (web.tls === 'files') this.#control.watchCertificate(web);
    }
    let isUp = false;
    let membership: Promise<Membership> | undefined;
    if (gateway.enabled) {
      membership = checked.then(() => this.#membership(folders, gatewayHasJoined));
      membership.catch(() => undefined);
      const known = membership;
      const carrier = this.#startCarrier(folders, reach);
      carrier.catch(() => undefined);
      const settings = async () => gatewaySettings(this.#configuration, folders, reach, await known, await carrier);
      const names = namesSettings(this.#configuration, folders);
      const namesPart = names === undefined ? undefined : new NamesPart(names, this.#log);
      this.#gateway = new GatewayPart(settings, helperSettings(this.#configuration), this.#log, namesPart);
      void this.#gateway.finished.then((error) => {
        if (error === undefined || !isUp) return;
        // The control plane goes on without a gateway here; a gateway alone has nothing to go on with.
        if (this.#control === undefined) this.#fail(error);
        else this.#log('error', `the gateway of this machine is off: ${error.message}`);
      });
    }
    // In this order: what the gateway lacks is told before that it ended.
    const [, , controlFacts, gatewayFacts] = await Promise.all([
      checked,
      membership,
      this.#control?.ready,
      this.#gateway?.ready,
    ]);
    isUp = true;
    return {
      version: version(),
      startMilliseconds: Math.round(performance.now()),
      control:
        controlFacts === undefined
          ? null
          : {
              url: controlFacts.ready.publicUrl,
              listen: controlFacts.listening.addresses.map(({ host, port }) =>
                host.includes(':') ? `[${host}]:${String(port)}` : `${host}:${String(port)}`,
              ),
              fingerprint: controlFacts.listening.fingerprint ?? null,
              setupUrl: controlFacts.ready.setupUrl ?? null,
            },
      gateway:
        gatewayFacts === undefined
          ? null
          : {
              interface: gateway.interface,
              host: reach.gatewayHost,
              port: gatewayFacts.listenPort,
              connected: gatewayFacts.connected,
            },
      data,
      processes: { supervisor: process.pid, ...this.#control?.pids, ...this.#gateway?.pids, ...this.#carrier?.pids },
    };
  }

  /** Starts it, and says where devices reach it. */
  async #startCarrier(folders: DataFolders, reach: Reach): Promise<CarrierFacts> {
    const nowhere: CarrierFacts = { tls: undefined, openvpnTcpPort: 0 };
    const settings = carrierSettings(this.#configuration, folders, reach);
    if (settings === undefined) return nowhere;
    this.#carrier = new CarrierPart(
      settings,
      {
        onReady: ({ path, webPort: port, openvpnWebPort: openvpnPort }) => {
          if (port === undefined && openvpnPort === undefined) return;
          this.#control?.handOver({
            kind: 'tunnel',
            path,
            ...(port === undefined ? {} : { port }),
            ...(openvpnPort === undefined ? {} : { openvpnPort }),
          });
        },
        onSource: (source) => this.#gateway?.tellSource(source),
      },
      this.#log,
    );
    const ready = await this.#carrier.ready;
    if (ready === undefined) return nowhere;
    const listening = settings.behindWeb ? await this.#control?.listening : undefined;
    return {
      tls: tlsFactsOf(this.#configuration, reach, ready, listening?.fingerprint),
      openvpnTcpPort: openvpnTcpPort(this.#configuration, reach, ready),
    };
  }

  /** Throws a StartError that names all that a gateway lacks here, with the remedies. */
  async #checkMachine(): Promise<void> {
    const { gateway, network } = this.#configuration;
    const results = await preflight({
      interfaceName: gateway.interface,
      pools: network.pool6 === '' ? [network.pool4] : [network.pool4, network.pool6],
      // The control plane has taken its ports by now, or says that it can't.
      tcpListens: [],
      udpPorts: [gateway.listenPort, gateway.amneziawgPort, gateway.openvpnPort].filter((port) => port !== 0),
    });
    const missing = results.filter(({ ok }) => !ok);
    const describe = ({ what, detail, remedy }: PreflightResult): string => `${what}: ${detail}; ${remedy}`;
    for (const one of missing) if (!one.required) this.#log('warn', describe(one));
    const faults = missing.filter(({ required }) => required).map(describe);
    if (faults.length === 0) return;
    const advice = 'Without a gateway (--no-gateway) none of this is needed.';
    throw new StartError(`this machine can't be a gateway yet:\n  ${faults.join('\n  ')}\n${advice}`);
  }

  /** Where the gateway finds its control plane: on this machine, or where it joined. */
  async #membership(folders: DataFolders, hasJoined: boolean): Promise<Membership> {
    if (this.#control !== undefined) {
      const url = localUrl(this.#configuration);
      // A gateway that has joined serves at once, before its control plane does.
      if (hasJoined) return { url };
      const { ready } = await this.#control.ready;
      return { url, joinToken: ready.joinToken };
    }
    const membership = readMembership(folders.joinFile);
    if (membership !== undefined) return membership;
    throw new StartError(
      'this gateway belongs to no service yet: create a join token there (sallyport join-token create), then run here: ' +
        'sallyport gateway join URL TOKEN',
    );
  }

  /** The gateway first: it still tells the control plane what it counted. */
  async stop(): Promise<void> {
    // A signal to the whole group of processes may end them in another order.
    this.#control?.expectEnd();
    this.#carrier?.expectEnd();
    await this.#gateway?.stop();
    await this.#carrier?.stop();
    await this.#control?.stop();
    this.#unlock?.();
  }
}

/** The API as this machine reaches it, whatever its public name leads to from here. */
function localUrl({ web }: Configuration): string {
  const [first = { host: '127.0.0.1', port: 443 }] = web.listen;
  const host = first.host === '0.0.0.0' ? '127.0.0.1' : first.host === '::' ? '::1' : first.host;
  const scheme = web.tls === 'off' ? 'http' : 'https';
  return `${scheme}://${host.includes(':') ? `[${host}]` : host}:${String(first.port)}`;
}

/** The file by which a gateway's folder shows that it has joined; see GatewayFiles in packages/agent. */
const GATEWAY_MEMBERSHIP = 'membership.json';
