// OpenVPN servers and clients in a simulated network and in virtual time: the real session halves, the real packet halves,
// the real data ciphers, and real TLS, for whose sake the clock stands still.
import assert from 'node:assert/strict';
import { setImmediate as turn } from 'node:timers/promises';
import {
  DROP_REASONS,
  PacketBatch,
  PATH_BYTES,
  PATH_FAMILY,
  PATH_PORT,
  PATH_REMOTE,
  type DropReasonName,
  type Outbox,
  type RouteTable,
  type SessionEvent,
  type SessionHalf,
  type SessionId,
  type SessionOutbox,
} from '@sallyport/core';
import { Arena, createDataCipher, DATA_CIPHER_SCRATCH_BYTES, eraseDataCiphers } from '@sallyport/io';
import {
  allocateDataTables,
  DATA_LIMITS,
  OpenVpnClient,
  OpenVpnPackets,
  openDataTables,
  OpenVpnServer,
  SharedDataSessions,
  type AuthenticationRequest,
  type ClientEvent,
  type ClientOptions,
  type ClientWrap,
  type DataLimits,
  type EntranceKey,
  type OpenVpnCrypto,
  type ServerEvent,
  type ServerOptions,
  type TlsEngine,
  type TlsOutput,
  type Verdict,
  wrapClientKey,
} from '@sallyport/openvpn';
import { nodeOpenVpnCrypto, OpenSslTls, type OpenSslTlsOptions } from '@sallyport/openvpn-plane';
import { SimulatedNetwork, VirtualClock, type SeededRandom } from '@sallyport/testkit';
import { buildPacket, packetName } from '../simulation/packets.ts';
import { TestAuthority, type Issued } from './authority.ts';

const SLOT_BYTES = 4096;
const SLOT_OFFSET = 256;
/** Turns of the event loop without a word of TLS after which it has nothing more to say. */
const QUIET_TURNS = 8;
/** How far time goes on at once, at the most. */
const STEP_MS = 5;

export interface Certificates {
  readonly authority: TestAuthority;
  readonly server: Issued;
  readonly client: Issued;
}

export async function makeCertificates(): Promise<Certificates> {
  const authority = await TestAuthority.make();
  return {
    authority,
    server: await authority.issue('the server', { usage: 'server' }),
    client: await authority.issue('the client', { usage: 'client' }),
  };
}

export class World {
  readonly random: SeededRandom;
  readonly clock = new VirtualClock(86_400_000.25);
  readonly network: SimulatedNetwork;
  readonly crypto: OpenVpnCrypto;
  readonly certificates: Certificates;
  readonly ends: End[] = [];
  /** TLS was given something that it has not answered. */
  tlsBusy = false;
  tlsTold = 0;
  /** What TLS has exported, at any end. */
  readonly exported: { readonly label: string; readonly bytes: Uint8Array }[] = [];

  constructor(random: SeededRandom, certificates: Certificates) {
    this.random = random;
    this.certificates = certificates;
    this.network = new SimulatedNetwork(this.clock, random);
    this.crypto = { ...nodeOpenVpnCrypto, random: (bytes) => random.bytes(bytes) };
  }

  get now(): number {
    return this.clock.now;
  }

  /** Lets time pass. */
  async run(milliseconds: number, stepMs = STEP_MS): Promise<void> {
    const end = this.now + milliseconds;
    await this.settle();
    while (this.now < end) {
      this.clock.runUntil(Math.min(end, this.now + stepMs));
      await this.settle();
    }
  }

  /** Lets time pass until something holds; fails where it does not in time. */
  async until(what: string, holds: () => boolean, milliseconds: number): Promise<void> {
    const end = this.now + milliseconds;
    while (!holds()) {
      assert.ok(this.now < end, `after ${String(milliseconds / 1000)} s: not ${what}`);
      await this.run(STEP_MS);
    }
  }

  /** Lets TLS finish what it was given, while the clock stands. */
  async settle(): Promise<void> {
    if (!this.tlsBusy) return;
    let told = this.tlsTold;
    for (let quiet = 0; quiet < QUIET_TURNS; quiet++) {
      await turn();
      if (this.tlsTold !== told) quiet = 0;
      told = this.tlsTold;
    }
    this.tlsBusy = false;
  }

  close(): void {
    for (const end of this.ends) end.stopWorking();
  }
}

/** Both halves of one end, and the machine around them. */
export class End {
  readonly world: World;
  address: string;
  readonly arena: Arena;
  readonly data: SharedDataSessions;
  readonly packets: OpenVpnPackets;
  readonly events: SessionEvent[] = [];
  readonly drops = new Array<number>(DROP_REASONS.length).fill(0);
  /** Names of packets that came out of the tunnel. */
  readonly received: string[] = [];
  readonly receivedBy: SessionId[] = [];
  undeliverable = 0;
  /** Datagrams that the session half has sent. */
  messages = 0;
  protected readonly scratchPath: number;
  readonly #controlPath: number;
  readonly #arrivalPath: number;
  readonly #slot: number;
  readonly #batch = new PacketBatch(1);
  readonly #routes: RouteTable;
  #half: SessionHalf | undefined;
  #timerAt = Infinity;
  #stopped = false;

  constructor(world: World, address: string, sessions: number, limits: DataLimits = DATA_LIMITS) {
    this.world = world;
    this.address = address;
    const capacity = { sessions, keys: 3 * sessions, epochKeys: 3 * sessions };
    this.arena = Arena.create(1_000_000 + sessions * 24_000);
    const regions = allocateDataTables((bytes) => this.arena.allocate(bytes), capacity);
    const cipher = createDataCipher(this.arena, this.arena.allocate(DATA_CIPHER_SCRATCH_BYTES), regions.ciphers);
    const scratch = this.arena.allocate(OpenVpnPackets.scratchBytes);
    const tables = openDataTables(this.arena, regions);
    this.#routes = tables.routes;
    this.packets = new OpenVpnPackets(this.arena, cipher, tables, scratch, limits);
    this.data = new SharedDataSessions({
      memory: this.arena,
      regions,
      crypto: world.crypto,
      exclusive: (change) => {
        change();
      },
      forgetSessions: () => undefined,
      eraseKeys: (first, end) => {
        eraseDataCiphers(this.arena, regions.ciphers, first, end);
      },
      limits,
    });
    this.scratchPath = this.arena.allocate(PATH_BYTES);
    this.#controlPath = this.arena.allocate(PATH_BYTES);
    this.#arrivalPath = this.arena.allocate(PATH_BYTES);
    this.#slot = this.arena.allocate(SLOT_BYTES);
    world.ends.push(this);
    world.network.attach(address, (datagram, from) => {
      this.#arrived(datagram, from);
    });
  }

  protected begin(half: SessionHalf): void {
    this.#half = half;
  }

  dropsOf(name: DropReasonName): number {
    return this.drops[DROP_REASONS.indexOf(name)];
  }

  /** Moves to another address, as a laptop does. */
  moveTo(address: string): void {
    this.world.network.detach(this.address);
    this.address = address;
    this.world.network.attach(address, (datagram, from) => {
      this.#arrived(datagram, from);
    });
  }

  /** It is gone, without a word. */
  stopWorking(): void {
    this.#stopped = true;
    this.world.network.detach(this.address);
  }

  /** Whose an address in the tunnel is by its route table, 0 for nobody's. */
  routed(ip: Uint8Array): SessionId {
    this.arena.u8.set(ip, this.#slot);
    return this.#routes.lookup4(this.#slot);
  }

  /** Something happens outside the packet path. */
  run(action: (now: number, out: SessionOutbox) => void): void {
    if (this.#stopped) return;
    action(this.world.now, this.out);
    this.#reschedule();
  }

  /** Sends an IP packet into the tunnel. */
  send(packet: Uint8Array, session: SessionId): void {
    this.#seal(packet, session);
  }

  /** A TLS engine that tells this end, and the world that it is at work. */
  tlsEngine(
    options: OpenSslTlsOptions,
    handle: (id: number, output: TlsOutput, now: number, out: SessionOutbox) => void,
  ): TlsEngine {
    const { world } = this;
    const engine = new OpenSslTls(options, (id, output) => {
      world.tlsTold++;
      world.tlsBusy = true;
      this.run((now, out) => {
        handle(id, output, now, out);
      });
    });
    return {
      open(id) {
        world.tlsBusy = true;
        const session = engine.open(id);
        return {
          receive(records) {
            world.tlsBusy = true;
            session.receive(records);
          },
          send(plaintext) {
            world.tlsBusy = true;
            session.send(plaintext);
          },
          exportKey(label, bytes) {
            const exported = session.exportKey(label, bytes);
            world.exported.push({ label, bytes: Uint8Array.from(exported) });
            return exported;
          },
          close() {
            session.close();
          },
        };
      },
    };
  }

  readonly out: SessionOutbox = {
    message: (message, path) => {
      this.messages++;
      this.#transmit(message, path);
    },
    seal: (session, packets) => {
      for (const packet of packets) this.#seal(packet, session);
    },
    drop: (reason) => {
      this.drops[reason]++;
    },
    event: (event) => {
      this.events.push(event);
    },
  };

  readonly #packetOut: Outbox = {
    datagram: (at, length, path) => {
      this.#transmit(this.arena.u8.subarray(at, at + length), path);
    },
    packet: (at, length, session) => {
      this.received.push(packetName(this.arena.u8.slice(at, at + length)));
      this.receivedBy.push(session);
    },
    control: (at, length, path) => {
      this.arena.u8.copyWithin(this.#controlPath, path, path + PATH_BYTES);
      const message = this.arena.u8.slice(at, at + length);
      this.run((now, out) => this.#half?.handleControl(message, this.#controlPath, now, out));
    },
    hold: (at, length, session) => {
      const packet = this.arena.u8.slice(at, at + length);
      this.run((now, out) => this.#half?.handleHold(packet, session, now, out));
    },
    inner: (at, length, session) => {
      const message = this.arena.u8.slice(at, at + length);
      this.run((now, out) => this.#half?.handleInner?.(message, session, now, out));
    },
    undeliverable: () => {
      this.undeliverable++;
    },
    attend: (session) => {
      this.world.clock.after(0, () => {
        this.run((now, out) => this.#half?.handleAttend(session, now, out));
      });
      return true;
    },
    drop: (reason) => {
      this.drops[reason]++;
    },
  };

  #arrived(datagram: Uint8Array, from: string): void {
    if (this.#stopped) return;
    writePath(this.arena, this.#arrivalPath, from);
    const at = this.#slot + SLOT_OFFSET;
    this.arena.u8.set(datagram.subarray(0, SLOT_BYTES - 2 * SLOT_OFFSET), at);
    this.#batch.count = 0;
    this.#batch.push(at, datagram.length, this.#arrivalPath);
    this.packets.open(this.#batch, this.world.now, this.#packetOut);
  }

  #seal(packet: Uint8Array, session: SessionId): void {
    const at = this.#slot + SLOT_OFFSET;
    this.arena.u8.set(packet, at);
    this.#batch.count = 0;
    this.#batch.push(at, packet.length, session);
    this.packets.seal(this.#batch, this.world.now, this.#packetOut);
  }

  #transmit(bytes: Uint8Array, path: number): void {
    this.world.network.send(this.address, addressAt(this.arena, path), bytes);
  }

  #reschedule(): void {
    const at = this.#half?.pollTimeout()?.at ?? Infinity;
    if (at === this.#timerAt || at === Infinity) return;
    this.#timerAt = at;
    // As the plane's timer: never early, in whole milliseconds.
    this.world.clock.at(Math.max(at, this.world.now + 1), () => {
      if (this.#timerAt !== at) return;
      this.#timerAt = Infinity;
      this.run((now, out) => this.#half?.handleTimeout(now, out));
    });
  }
}

/** The tunnel's network is 10.8.0.0/24; the address of the device `number` ends with it. */
export function tunnelAddress(number: number): Uint8Array {
  return Uint8Array.of(10, 8, 0, number);
}

export interface ServerSetup {
  readonly key?: EntranceKey;
  readonly settings?: ServerOptions['settings'];
  readonly tls?: Partial<OpenSslTlsOptions>;
  /** What a request is answered by, after so many milliseconds; by default everybody is admitted at once. */
  readonly authenticate?: (request: AuthenticationRequest) => Verdict | undefined;
  readonly verdictAfterMs?: number;
  readonly knows?: ServerOptions['knows'];
  readonly sessions?: number;
  readonly limits?: DataLimits;
}

export class ServerEnd extends End {
  readonly server: OpenVpnServer;
  readonly requests: AuthenticationRequest[] = [];
  readonly cancelled: number[] = [];
  readonly reports: ServerEvent[] = [];

  constructor(world: World, address: string, setup: ServerSetup = {}) {
    super(world, address, setup.sessions ?? 64, setup.limits);
    const { authority, server } = world.certificates;
    const tls = this.tlsEngine(
      { role: 'server', authority: authority.certificate, ...server, ...setup.tls },
      (id, output, now, out) => {
        this.server.handleTls(id, output, now, out);
      },
    );
    const authenticate = setup.authenticate ?? (() => admit(2));
    this.server = new OpenVpnServer({
      memory: this.arena,
      crypto: world.crypto,
      tls,
      data: this.data,
      wallClock: () => Math.floor(1_700_000_000_000 + world.now),
      scratchPath: this.scratchPath,
      key: setup.key ?? { kind: 'none' },
      authenticate: (request) => {
        this.requests.push(request);
        const verdict = authenticate(request);
        if (verdict === undefined) return;
        if (setup.verdictAfterMs === undefined) this.server.handleVerdict(request.id, verdict, world.now, this.out);
        else
          world.clock.after(setup.verdictAfterMs, () => {
            this.decide(request.id, verdict);
          });
      },
      cancelled: (id) => {
        this.cancelled.push(id);
      },
      knows: setup.knows,
      report: (event) => {
        this.reports.push(event);
      },
      network: () => ({
        ipv4: { gateway: '10.8.0.1', prefixLength: 24 },
        ipv6: { gateway: 'fd00:8::1', prefixLength: 64 },
      }),
      settings: setup.settings,
    });
    this.begin(this.server);
  }

  decide(id: number, verdict: Verdict): void {
    this.run((now, out) => {
      this.server.handleVerdict(id, verdict, now, out);
    });
  }

  reportsOf<Kind extends ServerEvent['kind']>(kind: Kind): Extract<ServerEvent, { kind: Kind }>[] {
    return this.reports.filter((report): report is Extract<ServerEvent, { kind: Kind }> => report.kind === kind);
  }

  /** The session of the device `number`, 0 where it has none. */
  sessionOf(number: number): SessionId {
    for (const { deviceId, session } of this.server.clients()) if (deviceId === deviceName(number)) return session;
    return 0;
  }

  /** Sends a packet to the device `number`. */
  sendTo(number: number, packetNumber: number, bytes = 100): boolean {
    const session = this.sessionOf(number);
    if (session === 0) return false;
    this.send(buildPacket(tunnelAddress(1), tunnelAddress(number), packetNumber, bytes), session);
    return true;
  }
}

export interface ClientSetup {
  readonly wrap?: ClientWrap;
  readonly settings?: ClientOptions['settings'];
  readonly credentials?: ClientOptions['credentials'];
  readonly acceptPushed?: ClientOptions['acceptPushed'];
  readonly peerInfo?: ClientOptions['peerInfo'];
  readonly tcp?: boolean;
  readonly limits?: DataLimits;
  readonly tls?: Partial<OpenSslTlsOptions>;
}

export class ClientEnd extends End {
  readonly client: OpenVpnClient;
  readonly reports: ClientEvent[] = [];
  readonly number: number;

  /** The device `number`, which is `number`'s address in the tunnel too. */
  constructor(world: World, address: string, server: string, number: number, setup: ClientSetup = {}) {
    super(world, address, 4, setup.limits);
    this.number = number;
    const { authority, client } = world.certificates;
    const tls = this.tlsEngine(
      { role: 'client', authority: authority.certificate, ...client, ...setup.tls },
      (id, output, now, out) => {
        this.client.handleTls(id, output, now, out);
      },
    );
    const remote = new Uint8Array(PATH_BYTES);
    writePath({ u8: remote, view: new DataView(remote.buffer) }, 0, server);
    this.client = new OpenVpnClient({
      memory: this.arena,
      crypto: world.crypto,
      tls,
      data: this.data,
      wallClock: () => Math.floor(1_700_000_000_000 + world.now),
      scratchPath: this.scratchPath,
      remote,
      wrap: setup.wrap ?? { kind: 'none' },
      credentials: setup.credentials,
      acceptPushed: setup.acceptPushed,
      report: (event) => {
        this.reports.push(event);
      },
      tcp: setup.tcp,
      peerInfo: setup.peerInfo,
      settings: setup.settings,
    });
    this.begin(this.client);
  }

  start(): this {
    this.run((now, out) => {
      this.client.start(now, out);
    });
    return this;
  }

  get isConnected(): boolean {
    return this.client.state === 'connected';
  }

  reportsOf<Kind extends ClientEvent['kind']>(kind: Kind): Extract<ClientEvent, { kind: Kind }>[] {
    return this.reports.filter((report): report is Extract<ClientEvent, { kind: Kind }> => report.kind === kind);
  }

  /** Sends a packet to the server. */
  sendPacket(packetNumber: number, bytes = 100): void {
    if (!this.isConnected) return;
    this.send(buildPacket(tunnelAddress(this.number), tunnelAddress(1), packetNumber, bytes), this.client.session);
  }
}

export function deviceName(number: number): string {
  return `device-${String(number)}`;
}

/** The verdict that lets in the device `number`. */
export function admit(number: number, more: Partial<Extract<Verdict, { kind: 'admit' }>> = {}): Verdict {
  const ipv4 = `10.8.0.${String(number)}`;
  return { kind: 'admit', deviceId: deviceName(number), ipv4, ipv6: `fd00:8::${String(number)}`, push: [], ...more };
}

export const SERVER_KEY_V2 = Uint8Array.from({ length: 128 }, (_, i) => (i * 7 + 3) & 255);

/** Both sides' keys of tls-crypt-v2, the client's for the device `number`. */
export function cryptV2(crypto: OpenVpnCrypto, number: number): { key: EntranceKey; wrap: ClientWrap } {
  const key = Uint8Array.from({ length: 256 }, (_, i) => (i * 5 + number) & 255);
  const metadata = Uint8Array.of(0, ...Buffer.from(deviceName(number)));
  const wrappedKey = wrapClientKey(crypto, SERVER_KEY_V2, key, metadata);
  return { key: { kind: 'tls-crypt-v2', serverKey: SERVER_KEY_V2 }, wrap: { kind: 'tls-crypt-v2', key, wrappedKey } };
}

/** Admits who has a tls-crypt-v2 key: as whom it says. */
export function admitByProfile({ profile }: AuthenticationRequest): Verdict {
  const name = Buffer.from(profile?.subarray(1) ?? []).toString();
  return admit(Number(name.slice('device-'.length)));
}

interface Bytes {
  readonly u8: Uint8Array;
  readonly view: DataView;
}

/** Writes the path record at `at` for an address of the simulated network, such as `192.0.2.1:1194`. */
export function writePath({ u8, view }: Bytes, at: number, address: string): void {
  const [host = '', port = ''] = address.split(':');
  u8.fill(0, at, at + PATH_BYTES);
  view.setUint16(at + PATH_FAMILY, 4, true);
  view.setUint16(at + PATH_PORT, Number(port), true);
  u8.set(host.split('.').map(Number), at + PATH_REMOTE);
}

export function addressAt({ u8, view }: Bytes, at: number): string {
  const port = view.getUint16(at + PATH_PORT, true);
  return `${u8.subarray(at + PATH_REMOTE, at + PATH_REMOTE + 4).join('.')}:${String(port)}`;
}
