/**
 * Asks a WireGuard device for handshakes as fast as it answers them. Standard input holds one JSON object (`FloodOrder`),
 * standard output gets one (`FloodReport`).
 *
 * All initiations are made beforehand, so that while the clock runs this process only sends and counts. A fixed number
 * of them is under way at any time, few enough that no device feels under load and asks for cookies.
 */
import { createSocket } from 'node:dgram';
import { text } from 'node:stream/consumers';
import { HandshakeCrypto } from '@sallyport/io';
import {
  CookieGenerator,
  decodeMessage,
  HandshakePeer,
  Identity,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_RESPONSE,
  type PendingInitiation,
} from '@sallyport/wireguard';

export interface FloodOrder {
  readonly address: string;
  readonly port: number;
  /** Base64. */
  readonly publicKey: string;
  /** Base64; the device knows each of them as a peer. */
  readonly privateKeys: readonly string[];
  readonly initiations: number;
  readonly underWay: number;
}

export interface FloodReport {
  readonly answered: number;
  readonly cookies: number;
  /** Not answered within `patienceMs`. */
  readonly lost: number;
  /** Responses that were taken through to transport keys, and those among them that were valid. */
  readonly verified: number;
  readonly valid: number;
  readonly seconds: number;
}

const patienceMs = 500;
/** One in so many responses is checked: the rest of its keys would fill this process's time. */
const verifyEvery = 100;

interface Prepared {
  readonly bytes: Uint8Array;
  readonly verify: { identity: Identity; peer: HandshakePeer; pending: PendingInitiation } | undefined;
}

const order = JSON.parse(await text(process.stdin)) as FloodOrder;
process.stdout.write(JSON.stringify(await flood(order, prepare(order))));

function prepare({ publicKey, privateKeys, initiations }: FloodOrder): Map<number, Prepared> {
  const crypto = new HandshakeCrypto();
  const device = new Uint8Array(Buffer.from(publicKey, 'base64'));
  const clients = privateKeys.map((key) => ({
    identity: new Identity(crypto, new Uint8Array(Buffer.from(key, 'base64'))),
    peer: new HandshakePeer(device),
    macs: new CookieGenerator(crypto, device),
  }));
  const prepared = new Map<number, Prepared>();
  for (let index = 0; index < initiations; index++) {
    const client = clients[index % clients.length];
    const made = client?.identity.createInitiation(client.peer, index, Date.now());
    if (client === undefined || made === undefined) throw new Error('handshake-flood: no initiation could be made');
    client.macs.addMacs(made.message, performance.now());
    const { identity, peer } = client;
    const verify = index % verifyEvery === 0 ? { identity, peer, pending: made.pending } : undefined;
    if (verify === undefined) made.pending.wipe();
    prepared.set(index, { bytes: made.message.bytes, verify });
  }
  return prepared;
}

async function flood({ address, port, underWay }: FloodOrder, prepared: Map<number, Prepared>): Promise<FloodReport> {
  const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 20, sendBufferSize: 1 << 20 });
  await new Promise<void>((resolve) => socket.connect(port, address, resolve));
  const waiting = [...prepared.keys()];
  const sentAt = new Map<number, number>();
  const toVerify: (() => boolean)[] = [];
  let [next, answered, cookies, lost] = [0, 0, 0, 0];

  const sendMore = (): void => {
    while (sentAt.size < underWay && next < waiting.length) {
      const index = waiting[next++] ?? 0;
      sentAt.set(index, performance.now());
      socket.send(prepared.get(index)?.bytes ?? '');
    }
  };

  const started = performance.now();
  let ended = started;
  await new Promise<void>((resolve) => {
    const finishWhenDone = (): void => {
      if (next === waiting.length && sentAt.size === 0) resolve();
    };
    const timer = setInterval(() => {
      const late = performance.now() - patienceMs;
      for (const [index, at] of sentAt) {
        if (at >= late) continue;
        sentAt.delete(index);
        lost++;
      }
      sendMore();
      finishWhenDone();
    }, patienceMs / 5);
    timer.unref();
    socket.on('message', (datagram) => {
      const message = decodeMessage(datagram);
      if (message.type === MESSAGE_COOKIE_REPLY && sentAt.delete(message.receiverIndex)) cookies++;
      if (message.type === MESSAGE_RESPONSE && sentAt.delete(message.receiverIndex)) {
        answered++;
        ended = performance.now();
        const verify = prepared.get(message.receiverIndex)?.verify;
        if (verify !== undefined) {
          toVerify.push(() => verify.identity.consumeResponse(verify.pending, verify.peer, message) !== undefined);
        }
      }
      sendMore();
      finishWhenDone();
    });
    sendMore();
  });
  socket.close();
  const valid = toVerify.filter((verify) => verify()).length;
  return { answered, cookies, lost, verified: toVerify.length, valid, seconds: (ended - started) / 1000 };
}
