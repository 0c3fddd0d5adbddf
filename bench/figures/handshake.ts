import { join } from 'node:path';
import { generateKeys, wire, WireGuardDevice, type NetworkNamespace, type Program } from '@sallyport/netlab';
import { shareCores, type Cores } from '../cores.ts';
import { Pairs, type BenchContext, type Figure } from '../figure.ts';
import type { FloodOrder, FloodReport } from '../handshake-flood.ts';

// A peer may start 50 handshakes a second. With so many of them nobody comes twice within 20 ms.
const clientCount = 2000;
const initiations = 10_000;
const underWay = 64;
const listenPort = 51820;
const prepareAndFloodMs = 60_000;

interface Responder {
  readonly generator: NetworkNamespace;
  readonly cores: Cores;
  readonly order: FloodOrder;
}

/** How many handshakes a second a device that has one core answers, when 64 of them are under way at any time. */
export const handshake: Figure = {
  names: ['handshake'],
  about: `handshakes answered a second on one core, ${String(underWay)} under way at any time, from ${String(clientCount)} peers`,
  timeoutMs: ({ pairs }) => 60_000 + pairs * 2 * prepareAndFloodMs,
  async run(context) {
    const rates = new Pairs();
    const sides = [
      ['ours', await openResponder(context, 'a', context.ours)],
      ['theirs', await openResponder(context, 'b', context.peer)],
    ] as const;
    for (let pair = 0; pair < context.pairs; pair++) {
      for (const [side, responder] of sides) {
        context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}, ${side}`);
        rates.add(side, 'answered on one core', await answeredRate(responder));
      }
    }
    return rates.comparisons({
      figure: 'handshake',
      unit: '1/s',
      reference: 'wireguard-go',
      goal: { of: 'ratio', atLeast: 1 },
    });
  },
};

async function openResponder(context: BenchContext, label: string, program: Program): Promise<Responder> {
  const { laboratory } = context;
  const generator = await laboratory.namespace(`${label}-generator`);
  const namespace = await laboratory.namespace(`${label}-device`);
  await wire(
    { namespace: generator, name: 'wire', addresses: ['192.0.2.1/24'] },
    { namespace, name: 'wire', addresses: ['192.0.2.2/24'] },
  );
  const cores = shareCores();
  const pinned = { ...program, command: ['taskset', '--cpu-list', cores.device, ...program.command] };
  const device = await WireGuardDevice.start(namespace, pinned);
  const keys = generateKeys();
  const clients = Array.from({ length: clientCount }, generateKeys);
  await device.configure({
    privateKey: keys.privateKey,
    listenPort,
    peers: clients.map(({ publicKey }, client) => ({
      publicKey,
      allowedIps: [`10.99.${String(client >> 8)}.${String(client & 255)}/32`],
    })),
  });
  await device.up([]);
  const privateKeys = clients.map(({ privateKey }) => privateKey);
  const order = {
    address: '192.0.2.2',
    port: listenPort,
    publicKey: keys.publicKey,
    privateKeys,
    initiations,
    underWay,
  };
  return { generator, cores, order };
}

async function answeredRate({ generator, cores, order }: Responder): Promise<number> {
  const script = join(import.meta.dirname, '..', 'handshake-flood.ts');
  const run = await generator.run(['taskset', '--cpu-list', cores.generator, process.execPath, script], {
    input: JSON.stringify(order),
    timeoutMs: prepareAndFloodMs,
  });
  const report = JSON.parse(run.stdout) as FloodReport;
  const unanswered = report.cookies + report.lost;
  if (report.verified === 0 || report.valid < report.verified || unanswered > initiations / 100) {
    throw new Error(`handshake: this is no measure of answers: ${run.stdout}`);
  }
  return report.answered / report.seconds;
}
