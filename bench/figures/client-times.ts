import { until } from '@sallyport/netlab';
import { Gap } from '../../demo/scenarios/client/gap.ts';
import { sallyport } from '../../demo/scenarios/service/person.ts';
import { SlowLine } from '../../demo/scenarios/client/slow-line.ts';
import { goTo, WEB, type GatewayName } from '../../demo/scenarios/client/world.ts';
import { openClientSite, type ClientSite } from '../client-site.ts';
import type { BenchContext, Comparison, Figure } from '../figure.ts';

const ONE_WAY_MS = 25;
const START_MS = 90_000;

/** From the command to the first byte of a page, 50 ms away. */
export const clientConnect: Figure = {
  names: ['client-connect'],
  about: 'from the command "sallyport connect" to the first byte of a page, at a round-trip time of 50 ms',
  timeoutMs: ({ pairs }) => START_MS + pairs * 15_000,
  async run(context) {
    const site = await openClientSite(context.laboratory);
    await SlowLine.start(site.world, ONE_WAY_MS);
    const { client } = site.world;
    const script = `"$0" connect near > /dev/null && exec 3<>/dev/tcp/${WEB.ipv4}/80 && printf 'GET / HTTP/1.0\\r\\n\\r\\n' >&3 && read -r -n 1 <&3`;
    return take(context, 'client-connect', 'from the command to the first byte', 1, async () => {
      const started = performance.now();
      await client.run(['bash', '-c', script, sallyport], { env: site.machine.environment });
      const seconds = (performance.now() - started) / 1000;
      await site.machine.run(['disconnect']);
      return seconds;
    });
  },
};

/** From the moment that another network is joined to the first answer through the tunnel. */
export const clientRoam: Figure = {
  names: ['client-roam'],
  about: 'how long nothing comes through the tunnel when the client changes its network and address',
  timeoutMs: ({ pairs }) => START_MS + pairs * 20_000,
  async run(context) {
    const site = await openClientSite(context.laboratory, ['gatewayB']);
    await site.machine.run(['connect', 'near']);
    let here: 'home' | 'cafe' = 'home';
    return take(context, 'client-roam', 'to the first answer in another network', 2, async () => {
      here = here === 'home' ? 'cafe' : 'home';
      return interruption(site, () => goTo(site.world, here));
    });
  },
};

/** From a gateway's death to the first answer by another. */
export const clientFailover: Figure = {
  names: ['client-failover'],
  about: 'from the death of the gateway in use to the first answer by the next of its region',
  timeoutMs: ({ pairs }) => START_MS + pairs * 60_000,
  async run(context) {
    const site = await openClientSite(context.laboratory);
    return take(context, 'client-failover', 'to the first answer by another gateway', 5, async () => {
      await site.machine.run(['connect', 'near']);
      const name = (await site.machine.status()).hops[0]?.name;
      const used: Exclude<GatewayName, 'gatewayA'> = name === 'gatewayb' ? 'gatewayB' : 'gatewayC';
      const seconds = await interruption(site, () => site.service.kill(used));
      await site.machine.run(['disconnect']);
      await site.service.runAgain(used);
      return seconds;
    });
  },
};

/** How long nothing came through the tunnel at the most, from the beginning of `work`; seconds. */
async function interruption({ world }: ClientSite, work: () => Promise<void>): Promise<number> {
  const gap = await Gap.start(world.client, WEB.ipv4);
  await until('answers', () => gap.answers.length > 20, 10_000);
  const begun = Date.now();
  await work();
  const done = Date.now();
  // An answer to what was sent when all was done, and then a while without another interruption.
  const first = await until('an answer', () => gap.firstAfter(done), 30_000);
  await until('answers', () => gap.answers.filter((at) => at > first).length > 50, 10_000);
  const seconds = gap.longest(begun) / 1000;
  await gap.stop();
  return seconds;
}

async function take(
  context: BenchContext,
  figure: string,
  name: string,
  atMost: number,
  once: () => Promise<number>,
): Promise<readonly Comparison[]> {
  const ours: number[] = [];
  for (let pair = 0; pair < context.pairs; pair++) {
    context.progress(`${String(pair + 1)} of ${String(context.pairs)}`);
    ours.push(await once());
  }
  return [{ figure, name, unit: 's', reference: '', ours, theirs: [], goal: { of: 'ours', atMost } }];
}
