import type packet from 'dns-packet';
import { isIP } from 'node:net';
import { encode } from 'dns-packet';
import type { LocalAnswer } from './answer.ts';
import { canonicalName, type NamesPlan } from './plan.ts';
import { RCODE, TYPE } from './wire.ts';

/** How long clients keep what is answered here: a change of the plan reaches them after that. */
const TTL_SECONDS = 60;
/** RFC 8914 section 4.16. */
const EXTENDED_ERROR_BLOCKED = 15;

/** The addresses and the reverse names of the plan. */
export class Hosts {
  readonly #records = new Map<string, packet.Answer[]>();

  constructor(hosts: NamesPlan['hosts']) {
    for (const { name: written, addresses } of hosts) {
      const name = canonicalName(written);
      for (const address of addresses) {
        const family = isIP(address);
        if (family === 0) continue;
        this.#add(name, { type: family === 4 ? 'A' : 'AAAA', name, ttl: TTL_SECONDS, data: address });
        const reverse = reverseName(address);
        this.#add(reverse, { type: 'PTR', name: reverse, ttl: TTL_SECONDS, data: name });
      }
    }
  }

  #add(name: string, record: packet.Answer): void {
    const known = this.#records.get(name);
    if (known === undefined) this.#records.set(name, [record]);
    else known.push(record);
  }

  find(name: string, type: number): LocalAnswer | undefined {
    const records = this.#records.get(name);
    return records === undefined ? undefined : answerWith(name, records, type);
  }
}

function answerWith(name: string, records: readonly packet.Answer[], type: number): LocalAnswer {
  const answers = records.filter((record) => record.type === TYPE_NAMES[type]);
  return answers.length > 0 ? { rcode: RCODE.noError, answers } : nothing(RCODE.noError, name);
}

const TYPE_NAMES: Readonly<Record<number, string>> = { [TYPE.A]: 'A', [TYPE.AAAA]: 'AAAA', [TYPE.PTR]: 'PTR' };

/** That there is nothing, with the time for which that holds (RFC 2308): the authority is this server itself. */
function nothing(rcode: number, zone: string): LocalAnswer {
  const data: packet.SoaData = {
    mname: 'localhost',
    rname: 'nobody.invalid',
    serial: 1,
    refresh: 3600,
    retry: 1200,
    expire: 604_800,
    minimum: TTL_SECONDS,
  };
  return { rcode, authorities: [{ type: 'SOA', name: zone, ttl: TTL_SECONDS, data }] };
}

export function blockedAnswer(): LocalAnswer {
  return { ...nothing(RCODE.nxDomain, '.'), extendedError: EXTENDED_ERROR_BLOCKED };
}

const LOCALHOST: readonly packet.Answer[] = [
  { type: 'A', name: 'localhost', ttl: TTL_SECONDS, data: '127.0.0.1' },
  { type: 'AAAA', name: 'localhost', ttl: TTL_SECONDS, data: '::1' },
];

/** `localhost`, whatever the plan says (RFC 6761 section 6.3). */
export function localhostAnswer(name: string, type: number): LocalAnswer | undefined {
  if (name !== 'localhost' && !name.endsWith('.localhost')) return undefined;
  // What is escaped can't be written back as the name that it was, and is nobody's.
  const records = name.includes('\\') ? [] : LOCALHOST.map((record) => ({ ...record, name }));
  return answerWith('localhost', records, type);
}

/**
 * Names that nobody out there can know anything about, and that would tell something about the network that asks. A domain
 * of the plan may hold them all the same.
 */
const PRIVATE_ZONES = new Set([
  'invalid', // RFC 6761
  'test',
  'local', // RFC 6762: multicast DNS
  'onion', // RFC 7686
  'home.arpa', // RFC 8375
  'internal', // set aside by ICANN in 2024
  // Firefox asks its name server by this whether it may pass it over.
  'use-application-dns.net',
  // RFC 6303, RFC 7793: reverse names of private, link-local and carriers' ranges, of loopback, of documentation.
  '0.in-addr.arpa',
  '10.in-addr.arpa',
  '127.in-addr.arpa',
  '168.192.in-addr.arpa',
  '254.169.in-addr.arpa',
  '255.255.255.255.in-addr.arpa',
  ...Array.from({ length: 16 }, (_, i) => `${16 + i}.172.in-addr.arpa`),
  ...Array.from({ length: 64 }, (_, i) => `${64 + i}.100.in-addr.arpa`),
  ...['c', 'd'].map((nibble) => `${nibble}.f.ip6.arpa`),
  ...['8', '9', 'a', 'b'].map((nibble) => `${nibble}.e.f.ip6.arpa`),
  `${'0.'.repeat(31)}0.ip6.arpa`,
  `1.${'0.'.repeat(31)}ip6.arpa`,
]);
/** RFC 9462: a client that found the name server's own server there would ask that one directly. */
const EMPTY_ZONE = 'resolver.arpa';

export function privateAnswer(name: string): LocalAnswer | undefined {
  const zone = longestSuffix(name, (suffix) =>
    PRIVATE_ZONES.has(suffix) || suffix === EMPTY_ZONE ? suffix : undefined,
  );
  if (zone === undefined) return undefined;
  return nothing(zone === EMPTY_ZONE ? RCODE.noError : RCODE.nxDomain, zone);
}

/** What `find` has for the name or the nearest name above it. */
export function longestSuffix<T>(name: string, find: (suffix: string) => T | undefined): T | undefined {
  for (let at = 0; ;) {
    const found = find(name.slice(at));
    if (found !== undefined) return found;
    const dot = name.indexOf('.', at);
    if (dot < 0) return undefined;
    at = dot + 1;
  }
}

/** `1.2.0.192.in-addr.arpa` for an address. */
function reverseName(address: string): string {
  if (isIP(address) === 4) return `${address.split('.').reverse().join('.')}.in-addr.arpa`;
  const message = encode({ type: 'response', answers: [{ type: 'AAAA', name: '.', data: address }] });
  return `${message.subarray(-16).toString('hex').split('').reverse().join('.')}.ip6.arpa`;
}
