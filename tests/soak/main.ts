// `npm run soak`: a tunnel under traffic for minutes or hours. Ends with an error where memory grows or traffic stops.
import { parseArgs } from 'node:util';
import { iperf, sallyportDevice } from '@sallyport/netlab';
import { withPair, type Host } from '../netns/pair.ts';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', short: 'h', default: false },
  },
});
if (values.help) {
  console.error(`Usage: npm run soak -- [--minutes N] [--json]

Sends TCP both ways, IPv4 and IPv6 in turn, then large and small UDP packets, again and again, and watches the memory of
both devices.
Example: npm run soak -- --minutes 60`);
  process.exit(0);
}

const minutes = Number(values.minutes);
/** What JavaScript's heap may still do after it has settled. */
const GROWTH_BYTES = 24 * 1024 * 1024;

const samples: { readonly minute: number; readonly a: number; readonly b: number; readonly bitsPerSecond: number }[] =
  [];

await withPair({ a: sallyportDevice, b: sallyportDevice }, {}, async ({ a, b }) => {
  const start = performance.now();
  for (let round = 0; performance.now() - start < minutes * 60_000; round++) {
    const family = round % 2 === 0 ? 'ipv4' : 'ipv6';
    const route = (from: Host, to: Host) => ({
      client: from.namespace,
      server: to.namespace,
      address: to.inner[family],
    });
    const there = await iperf(route(a, b), { seconds: 4, streams: 4 });
    const back = await iperf(route(b, a), { seconds: 4 });
    await iperf(route(a, b), { seconds: 6, udp: { bytes: 1200, bitsPerSecond: 100e6 } });
    await iperf(route(b, a), { seconds: 6, udp: { bytes: 64, bitsPerSecond: 5e6 } });
    const sample = {
      minute: (performance.now() - start) / 60_000,
      a: a.device.residentBytes(),
      b: b.device.residentBytes(),
      bitsPerSecond: there.bitsPerSecond + back.bitsPerSecond,
    };
    if (there.bitsPerSecond === 0 || back.bitsPerSecond === 0) throw new Error('the tunnel carries nothing any more');
    samples.push(sample);
    process.stderr.write(
      `${sample.minute.toFixed(1).padStart(6)} min  ${mib(sample.a)} MiB and ${mib(sample.b)} MiB, ` +
        `${(sample.bitsPerSecond / 1e6).toFixed(0)} Mbit/s\n`,
    );
  }
});

function mib(bytes: number): string {
  return (bytes / 2 ** 20).toFixed(1);
}

// The first quarter is for the heap to settle; after that the curve has to be flat.
const settled = samples.slice(Math.floor(samples.length / 4));
const growth = Math.max(...(['a', 'b'] as const).map((side) => settled[settled.length - 1][side] - settled[0][side]));
if (values.json) console.log(JSON.stringify({ minutes, growthBytes: growth, samples }));
else
  console.log(
    `${String(samples.length)} rounds; memory after the first quarter: ${growth < 0 ? '' : '+'}${mib(growth)} MiB`,
  );
if (growth > GROWTH_BYTES) throw new Error(`memory grew by ${mib(growth)} MiB`);
