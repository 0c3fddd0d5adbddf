// WireGuard as the conformance suite wants it.
import type {
  ConformanceClient,
  ConformanceEnd,
  ConformanceProtocol,
  ConformanceSubject,
  SeededRandom,
} from '@sallyport/testkit';
import { Flood } from '../simulation/flood.ts';
import type { SimulatedPeer } from '../simulation/simulated-peer.ts';
import { keypairsOf, World } from '../simulation/world.ts';

export const wireguard: ConformanceProtocol = {
  name: 'WireGuard',
  connectMs: 15_000,
  forgetMs: 15 * 60_000,
  open: (random) => new Subject(random),
};

class Subject implements ConformanceSubject {
  readonly network: ConformanceSubject['network'];
  readonly #world: World;
  readonly #server: SimulatedPeer;
  readonly #clients: readonly SimulatedPeer[];
  readonly #flood: Flood;
  readonly #removed = new Set<ConformanceClient>();
  #moves = 0;

  constructor(random: SeededRandom) {
    this.#world = new World(random);
    this.network = this.#world.network;
    this.#server = this.#world.add('server');
    this.#clients = ['first', 'second'].map((name) => this.#world.add(name));
    for (const client of this.#clients) {
      this.#server.connect(client, {});
      client.connect(this.#server, { endpoint: this.#server.address });
    }
    this.#server.start();
    this.#flood = new Flood(this.#server, random);
  }

  run(milliseconds: number): Promise<void> {
    this.#world.run(milliseconds);
    return Promise.resolve();
  }

  connect(client: ConformanceClient): void {
    const peer = this.#clients[client];
    peer.roam(`198.51.100.200:${String(20_000 + this.#moves++)}`);
    if (peer.running) peer.restart();
    else peer.start();
  }

  send(from: ConformanceEnd, to: ConformanceEnd, count: number): readonly string[] {
    if (from === 'server' && to !== 'server' && this.#removed.has(to)) return [];
    return this.#peer(from).send(this.#peer(to), count);
  }

  received(at: ConformanceEnd): readonly string[] {
    return this.#peer(at).received;
  }

  addressOf(end: ConformanceEnd): string {
    return this.#peer(end).address;
  }

  move(client: ConformanceClient, address: string): void {
    this.#clients[client].roam(address);
  }

  renew(client: ConformanceClient): void {
    this.#clients[client].startHandshake(this.#server);
  }

  agreements(client: ConformanceClient): number {
    return this.#clients[client].eventsOf('established').length;
  }

  remove(client: ConformanceClient): void {
    this.#removed.add(client);
    this.#server.disconnect(this.#clients[client]);
  }

  flood(count: number): void {
    this.#flood.send(this.#world, count);
  }

  records(): number {
    return keypairsOf(this.#server);
  }

  routedTo(address: ConformanceClient): ConformanceClient | undefined {
    const session = this.#server.routed(this.#clients[address].ip);
    if (session === 0) return undefined;
    return session === this.#server.sessionOf(this.#clients[0]) ? 0 : 1;
  }

  drops(): number {
    return this.#server.drops.reduce((sum, count) => sum + count, 0);
  }

  close(): void {
    for (const peer of [this.#server, ...this.#clients]) if (peer.running) peer.stop();
  }

  #peer(end: ConformanceEnd): SimulatedPeer {
    return end === 'server' ? this.#server : this.#clients[end];
  }
}
