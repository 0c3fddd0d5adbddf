/** A device's side of the tunnel service, run in its namespace: asks what its argument says, and prints what came. */
import { decapsulate, generateKeyPairSync, hkdfSync, randomBytes } from 'node:crypto';
import { createSocket } from 'node:dgram';
import {
  decodeMessage,
  ENCAPSULATION_KEY_BYTES,
  encodeMessage,
  TUNNEL_SERVICE_PORT,
  type TunnelServiceMessage,
} from '@sallyport/tunnel-service';

export interface PeerTask {
  /** The device's tunnel address, and the gateway's. */
  readonly from: string;
  readonly to: string;
  readonly ask:
    | { readonly kind: 'ping'; readonly padding: number }
    | { readonly kind: 'pathMtu'; readonly mtu: number }
    /** The two WireGuard public keys, base64; the agreed key is printed. */
    | { readonly kind: 'agree'; readonly gateway: string; readonly device: string };
  /** Whether there is to be an answer: it is waited for, then. */
  readonly answered: boolean;
}

const PAUSE_MS = 400;

const task = JSON.parse(process.argv[2] ?? '') as PeerTask;
const tries = task.answered ? Infinity : 3;
const socket = createSocket(task.to.includes(':') ? 'udp6' : 'udp4');
await new Promise<void>((resolve) => socket.bind({ address: task.from }, resolve));

/** The answer to a message; it is sent again, as it was, until there is one. */
async function ask(message: TunnelServiceMessage): Promise<TunnelServiceMessage | undefined> {
  const answered = new Promise<TunnelServiceMessage>((resolve) => {
    socket.on('message', (bytes) => {
      const answer = decodeMessage(bytes);
      if (answer?.id === message.id) resolve(answer);
    });
  });
  for (let i = 0; i < tries; i++) {
    socket.send(encodeMessage(message), TUNNEL_SERVICE_PORT, task.to, () => undefined);
    const pause = new Promise<void>((resolve) => setTimeout(resolve, PAUSE_MS));
    const answer = await Promise.race([answered, pause]);
    if (typeof answer === 'object') return answer;
  }
  return undefined;
}

const id = randomBytes(8).readBigUInt64BE();
let result: unknown = null;
if (task.ask.kind === 'agree') {
  const { publicKey, privateKey } = generateKeyPairSync('ml-kem-768');
  const spki = publicKey.export({ format: 'der', type: 'spki' });
  const answer = await ask({ kind: 'keyRequest', id, encapsulationKey: spki.subarray(-ENCAPSULATION_KEY_BYTES) });
  if (answer?.kind === 'keyAnswer') {
    const ends = [task.ask.gateway, task.ask.device].map((key) => Buffer.from(key, 'base64'));
    const info = Buffer.concat([Buffer.from('sallyport psk v1'), ...ends]);
    result = Buffer.from(hkdfSync('sha256', decapsulate(privateKey, answer.ciphertext), '', info, 32)).toString(
      'base64',
    );
  }
} else {
  const answer = await ask({ ...task.ask, id });
  if (answer !== undefined) result = { ...answer, id: undefined };
}
process.stdout.write(JSON.stringify(result));
socket.close();
