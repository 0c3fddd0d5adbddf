import type { PacketHalf } from '@sallyport/core';
import type { Arena } from '@sallyport/io';
import {
  OpenVpnClient,
  OpenVpnServer,
  type ClientOptions,
  type ClientView,
  type DataSessions,
  type Ending,
  type ServerOptions,
  type SessionActivity,
  type Verdict,
} from '@sallyport/openvpn';
import type { DataPlane, ProtocolHalves } from '@sallyport/runtime';
import { nodeOpenVpnCrypto } from './node-crypto.ts';
import { remoteAddress, remotePort } from './remote-path.ts';
import { SessionSlot } from './session-slot.ts';
import { OpenSslTls, type OpenSslTlsOptions } from './tls-engine.ts';

/** What the plane gives both ends. */
type Given = 'memory' | 'crypto' | 'tls' | 'data' | 'wallClock' | 'scratchPath';

export interface ServiceOptions extends Omit<ServerOptions, Given> {
  readonly tls: Omit<OpenSslTlsOptions, 'role'>;
}

export interface ConnectionOptions extends Omit<ClientOptions, Given> {
  readonly tls: Omit<OpenSslTlsOptions, 'role'>;
}

export interface SideParts {
  readonly arena: Arena;
  readonly plane: DataPlane;
  /** Its place among the plane's protocols. */
  readonly index: number;
  readonly data: DataSessions;
  readonly packets: PacketHalf;
  readonly scratchPath: number;
}

/** The main thread's side of OpenVPN in a data plane: it serves, or it connects, or for the time being neither. */
export class OpenVpnSide {
  /** For the plane's `start`. */
  readonly halves: ProtocolHalves;
  readonly #parts: SideParts;
  readonly #slot = new SessionSlot();

  constructor(parts: SideParts) {
    this.#parts = parts;
    this.halves = { sessions: this.#slot, packets: parts.packets };
  }

  /** Serves from now on; end the service before, where there is one. Throws where TLS can't take what it gets. */
  serve(options: ServiceOptions): OpenVpnService {
    const { plane, index } = this.#parts;
    const tls = new OpenSslTls({ ...options.tls, role: 'server' }, (id, output) => {
      plane.run(index, (now, out) => {
        server.handleTls(id, output, now, out);
      });
    });
    const server = new OpenVpnServer({ ...options, ...this.#given(), tls });
    this.#slot.current = server;
    return new OpenVpnService(this.#parts, server, tls);
  }

  /** Connects; the connection before has ended. Throws where TLS can't take what it gets. */
  connect(options: ConnectionOptions): OpenVpnConnection {
    const { plane, index } = this.#parts;
    const tls = new OpenSslTls({ ...options.tls, role: 'client' }, (id, output) => {
      plane.run(index, (now, out) => {
        client.handleTls(id, output, now, out);
      });
    });
    const client = new OpenVpnClient({ ...options, ...this.#given(), tls });
    this.#slot.current = client;
    plane.run(index, (now, out) => {
      client.start(now, out);
    });
    return new OpenVpnConnection(this.#parts, client);
  }

  /** The remote address of the path record at `path`, as text in its canonical form. */
  addressOf(path: number): string {
    return remoteAddress(this.#parts.arena, path);
  }

  /** The remote port of the path record at `path`. */
  portOf(path: number): number {
    return remotePort(this.#parts.arena, path);
  }

  #given(): Omit<Pick<ServerOptions, Given>, 'tls'> {
    const { arena, data, scratchPath } = this.#parts;
    return { memory: arena, crypto: nodeOpenVpnCrypto, data, wallClock: () => Date.now(), scratchPath };
  }
}

/** A server at work. Its methods may be called at any time, from within its own questions too. */
export class OpenVpnService {
  readonly server: OpenVpnServer;
  readonly #parts: SideParts;
  readonly #tls: OpenSslTls;

  constructor(parts: SideParts, server: OpenVpnServer, tls: OpenSslTls) {
    this.#parts = parts;
    this.server = server;
    this.#tls = tls;
  }

  /** Another certificate for the sessions from now on; throws where it can't be used, and keeps the one that it has. */
  setTls(options: Omit<OpenSslTlsOptions, 'role'>): void {
    this.#tls.configure({ ...options, role: 'server' });
  }

  /** Clients that were let in, and what each has done so far. */
  *clients(): Generator<ClientView & { readonly activity: SessionActivity }> {
    for (const view of this.server.clients()) yield { ...view, activity: this.#parts.data.activity(view.session) };
  }

  decide(id: number, verdict: Verdict): void {
    this.#run((now, out) => {
      this.server.handleVerdict(id, verdict, now, out);
    });
  }

  /** Closes the sessions of these devices; nothing of theirs passes any more when this returns. */
  disconnect(devices: Iterable<string>, ending: Ending): void {
    this.#run((now, out) => {
      for (const device of devices) this.server.disconnectDevice(device, ending, now, out);
    });
  }

  /** Closes all sessions and takes no new ones. */
  end(ending: Ending): void {
    this.#run((now, out) => {
      this.server.drain(ending, now, out);
    });
  }

  #run(action: Parameters<DataPlane['run']>[1]): void {
    this.#parts.plane.run(this.#parts.index, action);
  }
}

/** One connection to one server, from its first packet to its end, which it reports. */
export class OpenVpnConnection {
  readonly client: OpenVpnClient;
  readonly #parts: SideParts;

  constructor(parts: SideParts, client: OpenVpnClient) {
    this.#parts = parts;
    this.client = client;
  }

  /** Says goodbye; `ended` is reported within a second. */
  stop(): void {
    this.#parts.plane.run(this.#parts.index, (now, out) => {
      this.client.stop(now, out);
    });
  }

  /** Exchanges new keys, as it does by itself in time. */
  renegotiate(): void {
    this.#parts.plane.run(this.#parts.index, (now, out) => {
      this.client.renegotiate(now, out);
    });
  }
}
