/** What each process is told, made from the configuration. */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { networkNamespaceCookie } from '@sallyport/io';
import type { Reach } from './addresses.ts';
import type { CarrierConfiguration, TlsFacts } from './carrier/carrier-configuration.ts';
import { isOnWeb, isOpenVpnOnWeb } from './carrier/tls-facts.ts';
import { ConfigurationError } from './config/read.ts';
import type { Configuration } from './config/schema.ts';
import type { ControlConfiguration } from './control-configuration.ts';
import type { DataFolders } from './data-folders.ts';
import type { GatewayConfigurationInput } from './gateway/gateway-configuration.ts';
import type { HelperConfiguration } from './helper-process.ts';
import type { Membership } from './membership.ts';
import type { NamesSettings } from './names/names-configuration.ts';
import { version } from './version.ts';

/** Where the addresses of devices may lie as far as a gateway knows before its control plane told it. */
const PRIVATE_RANGES = ['10.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16', '100.64.0.0/10', 'fc00::/7'];

const DNS_PORT = 53;

/** Where scripts/build-console.ts puts what it builds. */
const CONSOLE = fileURLToPath(new URL('../../console/dist', import.meta.url));

export function controlSettings(
  configuration: Configuration,
  folders: DataFolders,
  reach: Reach,
  joinToken: boolean,
): ControlConfiguration {
  const { web, network, process: users, log } = configuration;
  return {
    folder: folders.control,
    listen: [...web.listen],
    publicUrl: reach.publicUrl,
    tls: tlsSettings(web, reach),
    openvpnOnWeb: isOpenVpnOnWeb(configuration),
    trustedProxies: [...web.trustedProxies],
    databaseUrl: databaseUrl(configuration, folders.control),
    pool4: network.pool4,
    ...(network.pool6 === '' ? {} : { pool6: network.pool6 }),
    user: { uid: users.controlUid, gid: users.controlUid },
    joinToken,
    console: CONSOLE,
    logLevel: log.level,
    software: version(),
  };
}

/** `sqlite:PATH` or, with its password, `postgresql://…`. */
export function databaseUrl({ storage }: Configuration, controlFolder: string): string {
  const file = storage.postgresqlUrlFile;
  if (file === '') return `sqlite:${join(controlFolder, 'sallyport.db')}`;
  const url = readRootsFile(file, 'storage.postgresql_url_file').trim();
  if (/^postgres(?:ql)?:\/\//.test(url)) return url;
  throw new ConfigurationError('faulty', [
    `storage.postgresql_url_file: ${file} holds no URL of PostgreSQL; write postgresql://user:password@host/database`,
  ]);
}

function tlsSettings(web: Configuration['web'], reach: Reach): ControlConfiguration['tls'] {
  switch (web.tls) {
    case 'off':
      return { kind: 'off' };
    case 'self-signed':
      return { kind: 'selfSigned', hosts: [...reach.certificateHosts] };
    case 'files':
      return { kind: 'files', ...readCertificateFiles(web) };
    case 'acme': {
      const { domains, email, directory, directoryCa, listen } = web.acme;
      return {
        kind: 'acme',
        domains: [...domains],
        email,
        directory,
        ...(directoryCa === '' ? {} : { directoryCa: readRootsFile(directoryCa, 'web.acme.directory_ca') }),
        listen: [...listen],
      };
    }
  }
}

/** PEM. Throws ConfigurationError. */
export function readCertificateFiles(web: Configuration['web']): { chain: string; key: string } {
  return { chain: readRootsFile(web.certificate, 'web.certificate'), key: readRootsFile(web.key, 'web.key') };
}

/** A file that only root need be able to read, and that the configuration names. */
function readRootsFile(path: string, key: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new ConfigurationError('faulty', [`${key}: ${path} can't be read: ${reason}`], { cause: error });
  }
}

/** What the gateway says of the carrier: undefined and 0 where it leads nowhere. */
export interface CarrierFacts {
  readonly tls: TlsFacts | undefined;
  readonly openvpnTcpPort: number;
}

export function gatewaySettings(
  configuration: Configuration,
  folders: DataFolders,
  reach: Reach,
  { self = {}, ...control }: Membership,
  { tls, openvpnTcpPort }: CarrierFacts,
): Omit<GatewayConfigurationInput, 'helperFd'> {
  const { gateway, metrics, process: users, log, web } = configuration;
  const said = (configured: string, joinedWith = ''): string => (configured === '' ? joinedWith : configured);
  const name = said(gateway.name, self.name);
  const region = said(gateway.region, self.region);
  const country = said(gateway.country, self.country);
  const city = said(gateway.city, self.city);
  const host = metrics.gatewayListen?.host === '::1' ? '::1' : '127.0.0.1';
  return {
    interfaceName: gateway.interface,
    listenPort: gateway.listenPort,
    amneziawgPort: gateway.amneziawgPort,
    mtu: gateway.mtu,
    directory: folders.gateway,
    user: { uid: users.gatewayUid, gid: users.gatewayUid },
    control,
    endpoint: { host: said(gateway.publicAddress, self.public_address) || reach.gatewayHost },
    name: name === '' ? gatewayName() : name,
    ...(tls === undefined ? {} : { tls }),
    ...(gateway.openvpnPort === 0 ? {} : { openvpn: { port: gateway.openvpnPort, tcpPort: openvpnTcpPort } }),
    ...(region === '' ? {} : { region }),
    ...(country === '' ? {} : { country }),
    ...(city === '' ? {} : { city }),
    localTcpPorts: configuration.control.enabled ? [...new Set(web.listen.map(({ port }) => port))] : [],
    ...(metrics.gatewayListen === undefined ? {} : { metrics: { host, port: metrics.gatewayListen.port } }),
    logLevel: log.level,
    software: version(),
  };
}

/** Undefined where there is to be no tunnel over TLS, and no OpenVPN over TCP. */
export function carrierSettings(
  configuration: Configuration,
  folders: DataFolders,
  reach: Reach,
): CarrierConfiguration | undefined {
  const { gateway, process: users, log } = configuration;
  const behindWeb = isOnWeb(configuration, reach);
  const openvpn = openvpnSettings(configuration);
  if (!gateway.enabled || (gateway.tlsListen.length === 0 && !behindWeb && openvpn === undefined)) return undefined;
  return {
    folder: folders.carrier,
    listen: [...gateway.tlsListen],
    behindWeb,
    hosts: [...new Set([reach.gatewayHost, ...reach.certificateHosts])].slice(0, 16),
    wireguardPort: gateway.listenPort,
    ...(openvpn === undefined ? {} : { openvpn }),
    user: { uid: users.carrierUid, gid: users.carrierUid },
    logLevel: log.level,
  };
}

/** Undefined where there is to be no OpenVPN over TCP. */
function openvpnSettings(configuration: Configuration): CarrierConfiguration['openvpn'] {
  const { openvpnPort: port, openvpnTcpListen: listen } = configuration.gateway;
  const behindWeb = isOpenVpnOnWeb(configuration);
  return port === 0 || (listen.length === 0 && !behindWeb) ? undefined : { listen: [...listen], behindWeb, port };
}

/** Undefined where this gateway is to answer no names. */
export function namesSettings(
  { gateway, process: users, log }: Configuration,
  folders: DataFolders,
): NamesSettings | undefined {
  if (!gateway.names) return undefined;
  const user = { uid: users.namesUid, gid: users.namesUid };
  return { port: DNS_PORT, folder: folders.names, user, logLevel: log.level };
}

/** The first word of the machine's name, as far as it can be a gateway's. */
function gatewayName(): string {
  const name = (hostname().toLowerCase().split('.')[0] ?? '').replace(/[^a-z0-9-]+/g, '-').replace(/^-+|-+$/g, '');
  return name === '' || name === 'localhost' ? 'gateway' : name.slice(0, 63);
}

export function helperSettings(configuration: Configuration): HelperConfiguration {
  const { pool4, pool6 } = configuration.network;
  // Where the control plane is elsewhere, or draws the pool by lot, only the ranges that it may be in are known.
  const pools = configuration.control.enabled ? [pool4, pool6 === '' ? 'fd00::/8' : pool6] : [...PRIVATE_RANGES, pool4];
  return {
    interfaceName: configuration.gateway.interface,
    pools,
    networksUid: configuration.process.namesUid,
    statePath: statePath(configuration.gateway.interface),
    logLevel: configuration.log.level,
  };
}

/** The namespaces of one machine may share /run, and what was there before is each one's own. */
function statePath(interfaceName: string): string {
  const cookie = networkNamespaceCookie();
  return `/run/sallyport/${interfaceName}${cookie === undefined ? '' : `-${String(cookie)}`}.json`;
}
