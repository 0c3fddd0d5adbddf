import { HandshakeCrypto } from '../../packages/io/src/openssl/wireguard-crypto.ts';
import { CookieChecker, CookieGenerator } from '../../packages/wireguard/src/cookie.ts';
import { HandshakePeer, Identity, wipeKeys } from '../../packages/wireguard/src/handshake.ts';
import { decodeMessage, MESSAGE_INITIATION } from '../../packages/wireguard/src/messages.ts';

/*
 * Handshakes answered in a second of one core's time: from the datagram of an initiation to the datagram of its
 * response and the transport keys. In the first round every peer is new, and costs one more shared secret.
 *
 *   node bench/micro/handshake.ts [--json]
 */

const PEERS = 256;
const ROUNDS = 12;
/** The first rounds warm up. */
const UNTIMED = 2;

const crypto = new HandshakeCrypto();

function newIdentity(): Identity {
  const key = new Uint8Array(32);
  crypto.random(key);
  return new Identity(crypto, key);
}

const responder = newIdentity();
const checker = new CookieChecker(crypto, responder.publicKey);
const initiators = Array.from({ length: PEERS }, newIdentity);
const remotes = new Map(
  initiators.map(({ publicKey }) => [
    nameOf(publicKey),
    { handshake: new HandshakePeer(publicKey), cookies: new CookieGenerator(crypto, publicKey) },
  ]),
);
const towards = initiators.map(() => new HandshakePeer(responder.publicKey));
const macs = new CookieGenerator(crypto, responder.publicKey);

function nameOf(publicKey: Uint8Array): string {
  return Buffer.from(publicKey.buffer, publicKey.byteOffset, publicKey.length).toString('latin1');
}

function answer(datagram: Uint8Array, now: number): void {
  const message = decodeMessage(datagram);
  if (message.type !== MESSAGE_INITIATION || !checker.checkMac1(message)) throw new Error('no initiation');
  const received = responder.readInitiation(message);
  const peer = received && remotes.get(nameOf(received.publicKey));
  if (received === undefined || peer === undefined) throw new Error('not readable');
  if (responder.acceptInitiation(received, peer.handshake, now) !== 'accepted') throw new Error('not accepted');
  const created = responder.createResponse(received, peer.handshake, 7);
  if (created === undefined) throw new Error('not answered');
  peer.cookies.addMacs(created.message, now);
  wipeKeys(created.keys);
}

const rates: number[] = [];
for (let round = 0; round < ROUNDS; round++) {
  const now = round * 1000;
  const datagrams = initiators.map((initiator, i) => {
    const created = initiator.createInitiation(towards[i], i, Date.now() + now);
    if (created === undefined) throw new Error('no initiation');
    created.pending.wipe();
    macs.addMacs(created.message, now);
    return created.message.bytes;
  });
  const begin = process.cpuUsage();
  for (const datagram of datagrams) answer(datagram, now);
  const { user, system } = process.cpuUsage(begin);
  const seconds = (user + system) / 1e6;
  if (round >= UNTIMED) rates.push(PEERS / seconds);
}
rates.sort((a, b) => a - b);
const median = rates[rates.length >> 1];

if (process.argv.includes('--json')) console.log(JSON.stringify({ handshakesAnsweredPerSecond: median }));
else
  console.log(
    `initiations answered: ${median.toFixed(0)} a second, ${(1e6 / median).toFixed(1)} µs each ` +
      `(median of ${String(rates.length)} rounds; ${rates[0].toFixed(0)} to ${rates[rates.length - 1].toFixed(0)})`,
  );
