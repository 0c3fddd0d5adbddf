/**
 * The control plane's process: takes its addresses as root, becomes nobody in particular, and only then accepts the first
 * connection and opens the database. Whatever it needs of the program is loaded before: afterwards the files may be out
 * of reach.
 */
import { join } from 'node:path';
import {
  answerWhileWaiting,
  fingerprintOf,
  HandedCertificate,
  isStorageAway,
  ListenError,
  loadAcmeClient,
  loadConsole,
  openAcme,
  openSelfSigned,
  startControl,
  WebServer,
  type AcmeCertificate,
  type CertificateSource,
  type ConsoleFiles,
  type Control,
} from '@sallyport/control';
import { Secret } from '@sallyport/core';
import { dropPrivileges, readConfiguration } from '@sallyport/privileged';
import { pino } from 'pino';
import { TunnelHandOver } from './carrier/hand-over.ts';
import {
  certificateMessage,
  controlConfiguration,
  EXIT_CONFIGURATION,
  type ControlConfiguration,
  type ControlMessage,
} from './control-configuration.ts';
import { finishLoading } from './finish-loading.ts';

const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5_000;
const MAX_STOP_MS = 8_000;

const { configuration, parentGone } = await readConfiguration();
const settings = controlConfiguration.parse(configuration);
const log = pino({ base: { name: 'control' }, level: settings.logLevel }, pino.destination({ dest: 2, sync: true }));

let stopping = false;
let control: Control | undefined;
let certificates: CertificateSource | undefined;
const servers: WebServer[] = [];

async function stop(): Promise<never> {
  if (!stopping) {
    stopping = true;
    setTimeout(() => process.exit(1), MAX_STOP_MS).unref();
    certificates?.close();
    // Gateways and requests first: what they still say is stored.
    await control?.disconnect();
    await Promise.all(servers.map((server) => server.close()));
    await control?.close();
    process.exit(0);
  }
  return new Promise(() => undefined);
}
process.on('SIGTERM', () => void stop());
// The supervisor is asked to stop in these ways, and then ends this process in its turn.
for (const signal of ['SIGINT', 'SIGHUP'] as const) process.on(signal, () => undefined);
void parentGone.then(stop);

function tell(message: ControlMessage): void {
  // The supervisor may be gone before this process has heard of it.
  process.send?.(message, () => undefined);
}

/** Ends because of what a person must mend. */
function fail(message: string): void {
  if (process.send === undefined) process.exit(EXIT_CONFIGURATION);
  const failed: ControlMessage = { kind: 'failed', message: message.slice(0, 2000) };
  process.send(failed, () => process.exit(EXIT_CONFIGURATION));
}

try {
  await serve(settings);
} catch (error) {
  if (error instanceof ListenError) fail(error.message);
  else {
    log.debug({ err: error }, 'the control plane can not start');
    fail(error instanceof Error ? error.message : String(error));
  }
}

async function serve({ tls, listen, user, folder, publicUrl, openvpnOnWeb }: ControlConfiguration): Promise<void> {
  const tunnels = new TunnelHandOver();
  const other = openvpnOnWeb ? tunnels.openvpn : undefined;
  const web = await WebServer.bind(listen, { tls: tls.kind !== 'off', other });
  servers.push(web);
  const challenges = tls.kind === 'acme' ? await WebServer.bind(tls.listen, { tls: false }) : undefined;
  if (challenges !== undefined) servers.push(challenges);
  const acmeClient = tls.kind === 'acme' ? await loadAcmeClient() : undefined;
  const consoleFiles = loadConsole(settings.console);

  finishLoading();
  if (user !== undefined) dropPrivileges(user.uid, user.gid);

  process.on('message', (value) => {
    tunnels.take(value);
  });
  const now = (): number => Date.now();
  const tlsFolder = join(folder, 'tls');
  if (tls.kind === 'selfSigned') certificates = await openSelfSigned(tlsFolder, tls.hosts, now);
  if (tls.kind === 'files') {
    const handed = new HandedCertificate({ chain: tls.chain, key: new Secret(tls.key) }, now());
    certificates = handed;
    process.on('message', (value) => {
      takeCertificate(handed, value);
    });
  }
  if (tls.kind === 'acme' && acmeClient !== undefined && challenges !== undefined) {
    const { domains, email, directory, directoryCa } = tls;
    const options = { folder: join(tlsFolder, 'acme'), domains, email, directory, directoryCa, now };
    const acme = await openAcme(acmeClient, {
      ...options,
      log: (level, message) => {
        log[level](message);
      },
    });
    certificates = acme;
    answerChallenges(challenges, acme, publicUrl);
  }
  if (certificates !== undefined) {
    web.setCertificate(certificates.current);
    certificates.onChange((certificate) => {
      web.setCertificate(certificate);
      log.info('the certificate was renewed');
    });
  }

  web.open({ request: (request, response) => void answerWhileWaiting(request, response) });
  const fingerprint =
    tls.kind === 'selfSigned' && certificates !== undefined ? fingerprintOf(certificates.current) : undefined;
  tell({ kind: 'listening', addresses: web.addresses, ...(fingerprint === undefined ? {} : { fingerprint }) });

  control = await openControl(consoleFiles);
  const { request, upgrade } = control;
  web.open({
    request,
    upgrade: (incoming, socket, head) => {
      if (!tunnels.upgrade(incoming, socket, head)) upgrade(incoming, socket, head);
    },
  });
  const setupUrl = await control.createSetupUrl();
  tell({
    kind: 'ready',
    publicUrl,
    ...(setupUrl === undefined ? {} : { setupUrl }),
    ...(settings.joinToken ? { joinToken: await control.createJoinToken() } : {}),
  });
}

/** Waits for a database that is away; what else is wrong with it is thrown. */
async function openControl(consoleFiles: ConsoleFiles): Promise<Control> {
  let retryMs = FIRST_RETRY_MS;
  for (;;) {
    try {
      return await startControl({
        databaseUrl: settings.databaseUrl,
        masterKeyFile: join(settings.folder, 'master.key'),
        pool4: settings.pool4,
        pool6: settings.pool6,
        publicUrl: settings.publicUrl,
        trustedProxies: settings.trustedProxies,
        version: settings.software,
        console: consoleFiles,
        now: () => Date.now(),
        log,
      });
    } catch (error) {
      if (!isStorageAway(error) || stopping) throw error;
      const reason = error instanceof Error ? error.message : String(error);
      tell({ kind: 'waiting', reason: reason.slice(0, 2000) });
      await new Promise((resolve) => setTimeout(resolve, retryMs));
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    }
  }
}

function takeCertificate(handed: HandedCertificate, value: unknown): void {
  const message = certificateMessage.safeParse(value);
  if (!message.success) return;
  const { chain, key } = message.data;
  if (chain === handed.current.chain && key === handed.current.key.reveal()) return;
  try {
    handed.replace({ chain, key: new Secret(key) }, Date.now());
  } catch (error) {
    // Between the writing of the one file and the other they do not belong together; the next change says more.
    log.warn(
      `the certificate's files changed and the one before stays: ${error instanceof Error ? error.message : ''}`,
    );
  }
}

/** On port 80: the authority's questions, and for people the way to the service. */
function answerChallenges(server: WebServer, acme: AcmeCertificate, publicUrl: string): void {
  server.open({
    request: (request, response) => {
      if (acme.answer(request, response)) return;
      const target = request.url?.startsWith('/') === true ? request.url : '/';
      response.writeHead(308, { location: publicUrl + target, 'content-length': '0' }).end();
    },
  });
}
