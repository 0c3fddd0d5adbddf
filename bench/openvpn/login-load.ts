/**
 * Logs in to an OpenVPN server as fast as it lets it, with our own client's session half, by certificate and tls-crypt-v2,
 * each client from a port of its own, until the push reply has come. Its argument is a file with a `LoadOrder` in JSON,
 * standard output gets one `LoadReport`; after that it stays until it is ended.
 */
import { createSocket, type Socket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { PATH_BYTES, Secret, type SessionOutbox } from '@sallyport/core';
import { Arena } from '@sallyport/io';
import {
  OpenVpnClient,
  type ClientEvent,
  type DataSessions,
  type TlsOutput,
  type TlsSession,
} from '@sallyport/openvpn';
import { OpenSslTls, nodeOpenVpnCrypto, remotePath } from '@sallyport/openvpn-plane';
import { cpuSeconds, residentBytes } from '@sallyport/netlab';
import { MTU, PORT, SERVER_OUTER } from './addresses.ts';
import { clientKey, type Credentials } from './credentials.ts';

export interface LoadOrder {
  readonly credentials: Credentials;
  /** Logins before those that count, so that all code is warm. */
  readonly warmUp: number;
  readonly logins: number;
  readonly underWay: number;
  /** The server's processes. */
  readonly server: readonly number[];
  /** How long it may take. */
  readonly timeoutMs: number;
}

export interface LoadReport {
  /** Of those that count. */
  readonly connected: number;
  /** How the others ended. */
  readonly failures: readonly string[];
  readonly seconds: number;
  /** Processor time that the server took for them, all of its threads. */
  readonly serverSeconds: number;
  /** The server's resident memory before them, in bytes. */
  readonly serverBytes: number;
}

const TIMER_MS = 20;

const order = JSON.parse(readFileSync(process.argv[2], 'utf8')) as LoadOrder;
const { credentials, server } = order;
const arena = Arena.create(1 << 20);
const remote = remotePath(SERVER_OUTER, PORT);
const scratchPath = arena.allocate(PATH_BYTES);
const serverPath = arena.allocate(PATH_BYTES);
arena.u8.set(remote, serverPath);
/** No packet passes: there are no keys to be kept. */
const noData: DataSessions = {
  open: () => 1,
  peerId: () => 0,
  setPeerId: () => undefined,
  pathOf: () => serverPath,
  setPath: () => undefined,
  setAddresses: () => undefined,
  installKey: () => true,
  sendWith: () => undefined,
  removeKey: () => undefined,
  heardBy: () => false,
  wornOut: () => false,
  attend: () => undefined,
  activity: () => ({ lastReceivedAt: 0, lastSentAt: 0, receivedBytes: 0, sentBytes: 0 }),
  close: () => undefined,
  count: 0,
};

const underWay = new Set<Login>();
const byTlsId = new Map<number, Login>();
let lastTlsId = 0;
/** One for all: to read certificate and key takes longer than a login. */
const engine = new OpenSslTls(
  {
    role: 'client',
    authority: credentials.authority,
    certificate: credentials.client.certificate,
    privateKey: new Secret(credentials.client.privateKey),
    // What openvpn's OpenSSL can do as well: both servers are to do the same work.
    groups: 'X25519',
  },
  (id, output) => byTlsId.get(id)?.handleTls(output),
);

class Login {
  readonly #client: OpenVpnClient;
  readonly #socket: Socket;
  readonly #done: (login: Login, failure: string | undefined) => void;
  #own = 0;
  #tls: TlsSession | undefined;
  #over = false;

  constructor(number: number, done: (login: Login, failure: string | undefined) => void) {
    this.#done = done;
    this.#socket = createSocket({ type: 'udp4' });
    this.#client = new OpenVpnClient({
      memory: arena,
      crypto: nodeOpenVpnCrypto,
      tls: { open: (id) => this.#openTls(id) },
      data: noData,
      wallClock: () => Date.now(),
      scratchPath,
      remote,
      wrap: { kind: 'tls-crypt-v2', ...clientKey(credentials, number) },
      // What openvpn 2.6 can do as well, as below.
      settings: { dataCiphers: ['AES-256-GCM'], epoch: false, tunMtu: MTU },
      report: (event) => {
        this.#hear(event);
      },
    });
    this.#socket.on('message', (datagram) => {
      if (!this.#over) this.#client.handleControl(datagram, serverPath, performance.now(), this.#out);
    });
    this.#socket.connect(PORT, SERVER_OUTER, () => {
      this.#client.start(performance.now(), this.#out);
    });
  }

  handleTls(output: TlsOutput): void {
    this.#client.handleTls(this.#own, output, performance.now(), this.#out);
  }

  handleTimeout(now: number): void {
    if (!this.#over && (this.#client.pollTimeout()?.at ?? Infinity) <= now) this.#client.handleTimeout(now, this.#out);
  }

  readonly #out: SessionOutbox = {
    message: (message) => {
      this.#socket.send(message);
    },
    seal: () => undefined,
    drop: () => undefined,
    event: () => undefined,
  };

  #openTls(own: number): TlsSession {
    const id = ++lastTlsId;
    this.#own = own;
    byTlsId.set(id, this);
    const session = engine.open(id);
    this.#tls = {
      receive: (records) => {
        session.receive(records);
      },
      send: (plaintext) => {
        session.send(plaintext);
      },
      exportKey: (label, bytes) => session.exportKey(label, bytes),
      close: () => {
        byTlsId.delete(id);
        session.close();
      },
    };
    return this.#tls;
  }

  #hear(event: ClientEvent): void {
    if (event.kind === 'connected') {
      // The acknowledgement of the push reply goes out after this.
      setTimeout(() => {
        this.#end(undefined);
      }, TIMER_MS);
    } else if (event.kind === 'ended') this.#end(JSON.stringify(event.ending));
  }

  /** The server's end of the session stays, and so does the socket: its port must not be another's. */
  #end(failure: string | undefined): void {
    this.#over = true;
    this.#tls?.close();
    sockets.push(this.#socket);
    this.#done(this, failure);
  }
}

const sockets: Socket[] = [];
let nextNumber = 1;

function logIn(count: number): Promise<string[]> {
  const failures: string[] = [];
  return new Promise((resolve) => {
    let left = count;
    let ended = 0;
    const more = (): void => {
      while (underWay.size < order.underWay && left > 0) {
        left--;
        underWay.add(
          new Login(nextNumber++, (login, failure) => {
            if (!underWay.delete(login)) return;
            if (failure !== undefined) failures.push(failure);
            if (++ended === count) resolve(failures);
            else more();
          }),
        );
      }
    };
    more();
  });
}

setInterval(() => {
  const now = performance.now();
  for (const login of underWay) login.handleTimeout(now);
}, TIMER_MS);

const sum = (of: (pid: number) => number): number => server.reduce((all, pid) => all + of(pid), 0);

await logIn(order.warmUp);
const serverBytes = sum(residentBytes);
const [started, before] = [performance.now(), sum(cpuSeconds)];
const failures = await logIn(order.logins);
const report: LoadReport = {
  connected: order.logins - failures.length,
  failures: failures.slice(0, 10),
  seconds: (performance.now() - started) / 1000,
  serverSeconds: sum(cpuSeconds) - before,
  serverBytes,
};
process.stdout.write(`${JSON.stringify(report)}\n`);
