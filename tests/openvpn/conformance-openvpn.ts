// OpenVPN as the conformance suite wants it.
import assert from 'node:assert/strict';
import type { ConformanceClient, ConformanceEnd, ConformanceProtocol, ConformanceSubject } from '@sallyport/testkit';
import type { SeededRandom } from '@sallyport/testkit';
import { P_CONTROL_HARD_RESET_CLIENT_V3 } from '../../packages/openvpn/src/wire/opcodes.ts';
import { tlsCryptV2ClientWrap } from '../../packages/openvpn/src/wire/tls-crypt.ts';
import { buildPacket, packetName } from '../simulation/packets.ts';
import {
  admitByProfile,
  ClientEnd,
  cryptV2,
  deviceName,
  ServerEnd,
  tunnelAddress,
  World,
  type Certificates,
} from './simulation-world.ts';

const SERVER = '192.0.2.1:1194';

/** OpenVPN with tls-crypt-v2, one of the formats of its data channel. */
export function openVpn(format: 'v2' | 'epoch', certificates: () => Certificates): ConformanceProtocol {
  return {
    name: `OpenVPN, format ${format}`,
    connectMs: 15_000,
    forgetMs: 5 * 60_000,
    open: (random) => new Subject(new World(random, certificates()), random, format === 'epoch'),
  };
}

class Subject implements ConformanceSubject {
  readonly network: ConformanceSubject['network'];
  readonly #world: World;
  readonly #random: SeededRandom;
  readonly #server: ServerEnd;
  readonly #removed = new Set<ConformanceClient>();
  readonly #clients: (ClientEnd | undefined)[] = [undefined, undefined];
  /** Of the ends before. */
  readonly #past: string[][] = [[], []];
  #flooded = 0;
  #sequence = 0;
  #ports = 5000;

  constructor(world: World, random: SeededRandom, epoch: boolean) {
    this.#world = world;
    this.#random = random;
    this.network = world.network;
    this.#server = new ServerEnd(world, SERVER, {
      key: cryptV2(world.crypto, 0).key,
      settings: { epoch },
      authenticate: (request) => {
        const verdict = admitByProfile(request);
        assert.ok(verdict.kind === 'admit');
        const gone = [...this.#removed].some((client) => verdict.deviceId === deviceName(numberOf(client)));
        return gone ? { kind: 'refuse', reason: 'no' } : verdict;
      },
    });
  }

  run(milliseconds: number): Promise<void> {
    return this.#world.run(milliseconds, milliseconds > 10_000 ? 200 : 5);
  }

  connect(client: ConformanceClient): void {
    const before = this.#clients[client];
    before?.stopWorking();
    this.#past[client].push(...(before?.received ?? []));
    const number = numberOf(client);
    const address = `192.0.2.${String(number)}:${String(this.#ports++)}`;
    const { wrap } = cryptV2(this.#world.crypto, number);
    this.#clients[client] = new ClientEnd(this.#world, address, SERVER, number, { wrap }).start();
  }

  send(from: ConformanceEnd, to: ConformanceEnd, count: number): readonly string[] {
    const end = from === 'server' ? this.#server : this.#clients[from];
    const session =
      from === 'server'
        ? this.#server.sessionOf(numberOf(to as ConformanceClient))
        : (this.#clients[from]?.client.session ?? 0);
    if (end === undefined || session === 0) return [];
    return Array.from({ length: count }, () => {
      const bytes = this.#random.below(200);
      const packet = buildPacket(inner(from), inner(to), this.#sequence++, bytes);
      const undeliverable = end.undeliverable;
      end.send(packet, session);
      return end.undeliverable === undeliverable ? packetName(packet) : '';
    }).filter((name) => name !== '');
  }

  received(at: ConformanceEnd): readonly string[] {
    return at === 'server' ? this.#server.received : [...this.#past[at], ...(this.#clients[at]?.received ?? [])];
  }

  addressOf(end: ConformanceEnd): string {
    return end === 'server' ? SERVER : (this.#clients[end]?.address ?? '');
  }

  move(client: ConformanceClient, address: string): void {
    this.#clients[client]?.moveTo(address);
  }

  renew(client: ConformanceClient): void {
    const end = this.#clients[client];
    end?.run((now, out) => {
      end.client.renegotiate(now, out);
    });
  }

  agreements(client: ConformanceClient): number {
    const name = deviceName(numberOf(client));
    return this.#server.reports.filter(
      (report) => (report.kind === 'established' || report.kind === 'renegotiated') && report.deviceId === name,
    ).length;
  }

  remove(client: ConformanceClient): void {
    this.#removed.add(client);
    this.#server.run((now, out) => {
      const ending = { kind: 'authFailed', reason: 'removed' } as const;
      this.#server.server.disconnectDevice(deviceName(numberOf(client)), ending, now, out);
    });
  }

  /** First packets with the profile of a device that there is not. */
  flood(count: number): void {
    const { crypto } = this.#world;
    const { wrap } = cryptV2(crypto, 9);
    assert.ok(wrap.kind === 'tls-crypt-v2');
    for (let i = 0; i < count; i++) {
      const datagram = tlsCryptV2ClientWrap({ ...wrap, crypto, server: false, unixTime: 1_700_000_000 }).wrap({
        opcode: P_CONTROL_HARD_RESET_CLIENT_V3,
        keyId: 0,
        sessionId: this.#random.bytes(8),
        acks: [],
        remoteSessionId: undefined,
        packetId: 0,
        payload: new Uint8Array(0),
      });
      assert.ok(datagram !== undefined);
      const n = this.#flooded++;
      this.network.send(`198.18.${String((n >> 8) & 255)}.${String(n & 255)}:${String(1024 + (n % 60_000))}`, SERVER, datagram); // prettier-ignore
    }
  }

  records(): number {
    return this.#server.data.count + this.#server.server.handshakes;
  }

  routedTo(address: ConformanceClient): ConformanceClient | undefined {
    const session = this.#server.routed(inner(address));
    if (session === 0) return undefined;
    return session === this.#server.sessionOf(numberOf(0)) ? 0 : 1;
  }

  drops(): number {
    return this.#server.drops.reduce((sum, count) => sum + count, 0);
  }

  close(): void {
    this.#world.close();
  }
}

/** Of its device, and the last number of its address in the tunnel. */
function numberOf(client: ConformanceClient): number {
  return 2 + client;
}

function inner(end: ConformanceEnd): Uint8Array {
  return tunnelAddress(end === 'server' ? 1 : numberOf(end));
}
