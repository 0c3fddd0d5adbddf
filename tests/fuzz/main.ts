// `npm run fuzz`: the long form of every fuzz test. Ends with an error at the first fault, or where memory grows.
import { parseArgs } from 'node:util';
import { fuzzAmneziaWg } from './amneziawg.ts';
import { fuzzCarrier } from './carrier.ts';
import { fuzzHandshake } from './handshake.ts';
import { fuzzLink } from './link.ts';
import { fuzzOpenVpnData } from './openvpn-data.ts';
import { fuzzProfile } from './profile.ts';
import { fuzzOpenVpnControl } from './openvpn-control.ts';
import { fuzzOpenVpnStream } from './openvpn-stream.ts';
import { fuzzResolver } from './resolver.ts';
import { fuzzScim } from './scim.ts';
import { fuzzTransport } from './transport.ts';
import { fuzzTunnelService } from './tunnel-service.ts';
import { fuzzUapi } from './uapi.ts';
import { fuzzWire } from './wire.ts';

const TARGETS: Record<string, (iterations: number, seed: number) => { accepted: number; dropped: number }> = {
  transport: fuzzTransport,
  wire: fuzzWire,
  handshake: fuzzHandshake,
  amneziawg: fuzzAmneziaWg,
  uapi: fuzzUapi,
  link: fuzzLink,
  scim: fuzzScim,
  'tunnel-service': fuzzTunnelService,
  carrier: fuzzCarrier,
  resolver: fuzzResolver,
  'openvpn-data': fuzzOpenVpnData,
  'openvpn-control': fuzzOpenVpnControl,
  'openvpn-stream': fuzzOpenVpnStream,
  'openvpn-profile': fuzzProfile,
};

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    iterations: { type: 'string', default: '1000000' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
const names = positionals.length === 0 ? Object.keys(TARGETS) : positionals;
const unknown = names.find((name) => !(name in TARGETS));
if (values.help || unknown !== undefined) {
  if (unknown !== undefined) console.error(`There is no target "${unknown}".`);
  console.error(`Usage: npm run fuzz -- [TARGET…] [--iterations N] [--seed N]

Targets: ${Object.keys(TARGETS).join(', ')}. Without one, all of them, a million inputs each.
Example: npm run fuzz -- transport --iterations 50000 --seed 7`);
  process.exit(values.help ? 0 : 64);
}

const iterations = Number(values.iterations);
const seed = Number(values.seed);
/** Inputs between two looks at the memory, each with a seed of its own. */
const ROUND = 50_000;
const GROWTH_BYTES = 64 * 1024 * 1024;

for (const name of names) {
  let accepted = 0;
  let dropped = 0;
  let settled = 0;
  for (let done = 0, round = 0; done < iterations; done += ROUND, round++) {
    const result = TARGETS[name](Math.min(ROUND, iterations - done), seed + round);
    accepted += result.accepted;
    dropped += result.dropped;
    globalThis.gc?.();
    const { rss } = process.memoryUsage();
    if (round === 2) settled = rss;
    if (round > 2 && rss > settled + GROWTH_BYTES)
      throw new Error(`${name}: memory grew from ${String(settled)} to ${String(rss)} bytes (seed ${String(seed)})`);
    process.stderr.write(`\r${name}: ${String(accepted)} taken, ${String(dropped)} dropped, ${String(rss >> 20)} MiB `);
  }
  process.stderr.write('\n');
  console.log(`${name}: ${String(accepted + dropped)} inputs, seed ${String(seed)}: no fault`);
}
