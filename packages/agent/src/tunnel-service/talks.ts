/** What the gateway answers to what devices say inside the tunnel. Decides; sends and sets nothing itself. */
import { createHash } from 'node:crypto';
import { formatAddress, parseAddress, type DevicePlan } from '@sallyport/policy';
import { decodeMessage, encodeMessage } from '@sallyport/tunnel-service';
import { TokenBucket } from './token-bucket.ts';

/** What a device may ask for, a second and at once. */
const RATES = {
  ping: { perSecond: 20, burst: 40 },
  keyRequest: { perSecond: 0.2, burst: 3 },
  pathMtu: { perSecond: 1, burst: 5 },
} as const;
/** And all devices together, of what costs the gateway something. */
const SHARED_RATES = {
  keyRequest: { perSecond: 500, burst: 1000 },
  pathMtu: { perSecond: 20, burst: 100 },
} as const;

/** Answers that are kept for who asks again, for each device and this long. */
const MAX_ANSWERS = 2;
const ANSWER_MS = 60_000;
/** A device that has not spoken for this long gets packets of the tunnel's own size again. */
const SILENCE_MS = 10 * 60_000;

/** IPv6's least (RFC 8200, section 5). */
const LEAST_MTU = 1280;
const UDP_HEADER_BYTES = 8;
const IP_HEADER_BYTES = { 4: 20, 6: 40 } as const;

/** What is to be done about a datagram. */
export type Decision =
  | { readonly kind: 'answer'; readonly bytes: Uint8Array }
  /** Agree a preshared key with the device, then {@link Talks.agreed}. */
  | {
      readonly kind: 'agreeKey';
      readonly device: DevicePlan;
      /** The device's WireGuard public key, base64. */
      readonly publicKey: string;
      readonly id: bigint;
      readonly encapsulationKey: Uint8Array;
    }
  /** Have the kernel send the device no larger packets than this (null: than the tunnel's), then {@link Talks.limited}. */
  | { readonly kind: 'limitMtu'; readonly device: DevicePlan; readonly id: bigint; readonly mtu: number | null };

/** A limit that has to go: the device is gone, has other addresses, or is silent. */
export type Lapsed = Pick<DevicePlan, 'ipv4' | 'ipv6'>;

export interface TalksOptions {
  /** The devices that may connect now, by id; another map where they are others. */
  readonly devices: () => ReadonlyMap<string, DevicePlan>;
  readonly draining: () => boolean;
  /** Of the tunnel's interface. */
  readonly mtu: number;
}

interface Answer {
  readonly id: bigint;
  /** Of the request, so that another one under the same id isn't answered by it. */
  readonly digest: string;
  readonly bytes: Uint8Array;
  readonly until: number;
}

/** What is remembered of a device that has spoken. */
interface Talk {
  readonly buckets: Readonly<Record<keyof typeof RATES, TokenBucket>>;
  /** Undefined where the device is not one of WireGuard's. */
  readonly publicKey: string | undefined;
  readonly addresses: Lapsed;
  answers: readonly Answer[];
  heardAt: number;
  mtu: number | undefined;
}

export class Talks {
  readonly #options: TalksOptions;
  readonly #shared: Readonly<Record<keyof typeof SHARED_RATES, TokenBucket>>;
  /** By device, those that may connect alone. */
  readonly #talks = new Map<string, Talk>();
  /** Of devices that have other addresses now. */
  #left: Lapsed[] = [];
  #devices: ReadonlyMap<string, DevicePlan> | undefined;
  #byAddress: ReadonlyMap<string, DevicePlan> = new Map();

  constructor(options: TalksOptions, now: number) {
    this.#options = options;
    this.#shared = buckets(SHARED_RATES, now);
  }

  /** What to do about a datagram from this address; undefined: nothing. Never throws. */
  hear(bytes: Uint8Array, source: string, now: number): Decision | undefined {
    const message = decodeMessage(bytes);
    if (message === undefined) return undefined;
    const { kind, id } = message;
    if (kind !== 'ping' && kind !== 'keyRequest' && kind !== 'pathMtu') return undefined;
    const address = parseAddress(source);
    const device = address && this.#deviceAt(formatAddress(address));
    if (address === undefined || device === undefined) return undefined;
    const talk = this.#talkOf(device, now);
    talk.heardAt = now;
    const again = kind === 'keyRequest' ? this.#answerTo(talk, id, digestOf(message.encapsulationKey), now) : undefined;
    // Who asks once more for what was lost on its way is held to the rate of pings.
    if (!talk.buckets[again === undefined ? kind : 'ping'].take(now)) return undefined;
    switch (kind) {
      case 'ping': {
        const packet = IP_HEADER_BYTES[address.family] + UDP_HEADER_BYTES + bytes.length;
        // The answer would be as long, and come in pieces.
        if (packet > Math.min(talk.mtu ?? Infinity, this.#options.mtu)) return undefined;
        const { padding } = message;
        return {
          kind: 'answer',
          bytes: encodeMessage({ kind: 'pong', id, padding, draining: this.#options.draining() }),
        };
      }
      case 'keyRequest':
        if (again !== undefined) return { kind: 'answer', bytes: again };
        // Other protocols have no preshared keys.
        if (device.publicKey === undefined || !this.#shared.keyRequest.take(now)) return undefined;
        return {
          kind: 'agreeKey',
          device,
          publicKey: device.publicKey,
          id,
          encapsulationKey: message.encapsulationKey,
        };
      case 'pathMtu': {
        const mtu = message.mtu >= this.#options.mtu ? null : message.mtu;
        if (mtu !== null && mtu < LEAST_MTU) return undefined;
        if (talk.mtu === (mtu ?? undefined))
          return { kind: 'answer', bytes: encodeMessage({ kind: 'pathMtuTaken', id }) };
        return this.#shared.pathMtu.take(now) ? { kind: 'limitMtu', device, id, mtu } : undefined;
      }
    }
  }

  /** The answer with the ciphertext of what was agreed; the same comes when it is asked for again. */
  agreed(
    { device, id, encapsulationKey }: Extract<Decision, { kind: 'agreeKey' }>,
    ciphertext: Uint8Array,
    now: number,
  ): Uint8Array {
    // prettier-ignore
    const bytes = encodeMessage({ kind: 'keyAnswer', id, ciphertext });
    const talk = this.#talkOf(device, now);
    const answer = { id, digest: digestOf(encapsulationKey), bytes, until: now + ANSWER_MS };
    talk.answers = [...talk.answers, answer].slice(-MAX_ANSWERS);
    return bytes;
  }

  /** The kernel has taken the limit: the answer; undefined where the device is gone meanwhile, and the limit has to go too. */
  limited({ device, id, mtu }: Extract<Decision, { kind: 'limitMtu' }>, now: number): Uint8Array | undefined {
    const present = this.#deviceAt(device.ipv4);
    if (present?.id !== device.id || present.ipv6 !== device.ipv6) return undefined;
    this.#talkOf(present, now).mtu = mtu ?? undefined;
    return encodeMessage({ kind: 'pathMtuTaken', id });
  }

  /** Forgets what is over; the limits that have to be taken back. To be called now and then. */
  lapse(now: number): readonly Lapsed[] {
    const devices = this.#options.devices();
    const lapsed = this.#left;
    this.#left = [];
    for (const [id, talk] of this.#talks) {
      const silent = now - talk.heardAt > SILENCE_MS;
      if (!silent && isOf(talk, devices.get(id))) {
        talk.answers = talk.answers.filter(({ until }) => until > now);
        continue;
      }
      if (talk.mtu !== undefined) lapsed.push(talk.addresses);
      this.#talks.delete(id);
    }
    if (lapsed.length === 0) return lapsed;
    // An address may have passed to a device that has a limit itself.
    const limited = [...this.#talks.values()].filter(({ mtu }) => mtu !== undefined);
    const held = new Set(limited.flatMap(({ addresses }) => [addresses.ipv4, addresses.ipv6]));
    return lapsed.filter(({ ipv4, ipv6 }) => !held.has(ipv4) && !held.has(ipv6));
  }

  #deviceAt(address: string): DevicePlan | undefined {
    const devices = this.#options.devices();
    if (devices !== this.#devices) {
      this.#devices = devices;
      const byAddress = new Map<string, DevicePlan>();
      for (const device of devices.values()) byAddress.set(device.ipv4, device).set(device.ipv6, device);
      this.#byAddress = byAddress;
    }
    return this.#byAddress.get(address);
  }

  /** The talk with a device: a new one where it has another key or other addresses than before. */
  #talkOf(device: DevicePlan, now: number): Talk {
    const known = this.#talks.get(device.id);
    if (known !== undefined && isOf(known, device)) return known;
    const { publicKey, ipv4, ipv6 } = device;
    const stays = known?.addresses.ipv4 === ipv4 && known.addresses.ipv6 === ipv6;
    if (known?.mtu !== undefined && !stays) this.#left.push(known.addresses);
    const talk: Talk = {
      buckets: buckets(RATES, now),
      publicKey,
      addresses: { ipv4, ipv6 },
      answers: [],
      heardAt: now,
      mtu: stays ? known.mtu : undefined,
    };
    this.#talks.set(device.id, talk);
    return talk;
  }

  #answerTo(talk: Talk, id: bigint, digest: string, now: number): Uint8Array | undefined {
    return talk.answers.find((answer) => answer.id === id && answer.digest === digest && answer.until > now)?.bytes;
  }
}

function isOf({ publicKey, addresses }: Talk, device: DevicePlan | undefined): boolean {
  return (
    device !== undefined &&
    device.publicKey === publicKey &&
    device.ipv4 === addresses.ipv4 &&
    device.ipv6 === addresses.ipv6
  );
}

function digestOf(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('base64');
}

type Rates<K extends string> = Readonly<Record<K, { readonly perSecond: number; readonly burst: number }>>;

function buckets<K extends string>(rates: Rates<K>, now: number): Record<K, TokenBucket> {
  const made = Object.entries<Rates<K>[K]>(rates).map(([kind, { perSecond, burst }]) => [
    kind,
    new TokenBucket(perSecond, burst, now),
  ]);
  return Object.fromEntries(made) as Record<K, TokenBucket>;
}
