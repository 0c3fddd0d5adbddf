// Mutated datagrams, before and after authentication, through the data channel's way in. `npm run fuzz` calls it at length.
import assert from 'node:assert/strict';
import { SeededRandom } from '@sallyport/testkit';
import { ip, KINDS, pair } from '../openvpn/data-end.ts';

/** Each datagram is opened, said to the session half, or dropped: never two of them, never none but for a ping. */
export function fuzzOpenVpnData(iterations: number, seed: number): { accepted: number; dropped: number } {
  const random = new SeededRandom(seed);
  let accepted = 0;
  let dropped = 0;
  const kinds = KINDS.map((kind) => pair(kind, { kind: 'real', bytes: 2 ** 20 }));
  for (let done = 0; done < iterations;) {
    const { server, client, s, c } = random.pick(kinds);
    // Authentic payloads of any bytes; some are IP packets by their first.
    const payloads = Array.from({ length: 1 + random.below(8) }, () => {
      const payload = random.chance(0.5) ? ip(1 + random.below(1400)) : random.bytes(1 + random.below(200));
      return random.chance(0.05) ? new Uint8Array() : payload;
    });
    const pings = payloads.filter((payload) => payload.length === 0).length;
    const sealed = client.seal(c, payloads);
    let mutated = 0;
    const datagrams = sealed.map((good) => {
      if (random.chance(0.5)) return good;
      mutated++;
      const bad = good.slice(0, random.chance(0.3) ? random.below(good.length + 1) : good.length);
      for (let k = random.below(4); k >= 0 && bad.length > 0; k--)
        bad[random.below(bad.length)] ^= 1 << random.below(8);
      return bad;
    });
    if (random.chance(0.3)) datagrams.push(random.bytes(random.below(100)));
    if (random.chance(0.1)) datagrams.push(datagrams[0]);
    server.open(datagrams, 1 + random.below(3));
    const out = server.opened.length + server.inners.length + server.controls.length;
    assert.ok(out + server.drops.length <= datagrams.length);
    assert.ok(out + server.drops.length >= datagrams.length - pings - 1);
    assert.ok(out >= sealed.length - mutated - pings);
    if (random.chance(0.1)) server.sessions.attend(s, 1000 * done);
    accepted += out;
    dropped += server.drops.length;
    done += datagrams.length;
    for (const list of [server.opened, server.inners, server.controls, server.drops, server.attended]) list.length = 0;
    for (const list of [client.datagrams, client.attended]) list.length = 0;
  }
  return { accepted, dropped };
}
