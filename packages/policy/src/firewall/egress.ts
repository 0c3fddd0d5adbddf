/** The addresses that devices' packets leave the gateway with. */
import type { Family } from './address-ranges.ts';
import type { FirewallPlan } from './plan.ts';
import type { ElementSet, Rule } from './ruleset.ts';
import * as nft from './statements.ts';

const FAMILIES = [4, 6] as const;

function ownEgress({ gateway }: FirewallPlan, family: Family): string | undefined {
  return family === 4 ? gateway.egress.ipv4 : gateway.egress.ipv6;
}

/**
 * After translation: nothing leaves for elsewhere with a tunnel address, as a flow to a network would that lies behind a
 * device no longer. And where the kernel chose the address, and chose one that is a group's egress, others than that
 * group's devices don't leave. Nothing here knows which of the machine's other addresses the way back leads to.
 */
export function leavingRules(plan: FirewallPlan, sets: ReadonlyMap<string, ElementSet>): Rule[] {
  const { gateway } = plan;
  const families = FAMILIES.filter(
    (family) => ownEgress(plan, family) === undefined && sets.get(`reserved${String(family)}`)?.elements.size !== 0,
  );
  const leaves = nft.notInterface('oifname', plan.interfaceName, 'lo');
  const untranslated = FAMILIES.map((family): Rule => {
    const pool = family === 4 ? gateway.pool4 : gateway.pool6;
    return [leaves, nft.within(family, 'saddr', pool), nft.DROP];
  });
  const reserving = families.map((family): Rule => {
    const [protocol, pool] = family === 4 ? (['ip', gateway.pool4] as const) : (['ip6', gateway.pool6] as const);
    const began = { ct: { key: `${protocol} saddr`, dir: 'original' } };
    return [
      // Answers and errors that the machine sends from that address itself are its own.
      nft.direction('original'),
      nft.match({ ct: { key: 'state' } }, ['new', 'established'], 'in'),
      nft.match(nft.address(family, 'saddr'), `@reserved${String(family)}`),
      nft.match(began, nft.rangeOfPrefix(family, pool)),
      nft.match(began, `@special${String(family)}`, '!='),
      nft.DROP,
    ];
  });
  return [...untranslated, ...reserving];
}

/** What leaves the tunnel for elsewhere: by the address of its device's group, or the gateway's, or any. */
export function postroutingRules(plan: FirewallPlan): Rule[] {
  const { interfaceName, gateway } = plan;
  const here = nft.match({ meta: { key: 'oifname' } }, { set: [interfaceName, 'lo'].sort() });
  return [
    [here, nft.ACCEPT],
    ...FAMILIES.flatMap((family): Rule[] => {
      const fromTunnel = nft.within(family, 'saddr', family === 4 ? gateway.pool4 : gateway.pool6);
      const snat = (addr: unknown) => ({ snat: { family: family === 4 ? 'ip' : 'ip6', addr } });
      const own = ownEgress(plan, family);
      const byDevice = { map: { key: nft.address(family, 'saddr'), data: `@egress${String(family)}` } };
      return [
        [fromTunnel, snat(byDevice)],
        [fromTunnel, own === undefined ? { masquerade: null } : snat(own)],
      ];
    }),
  ];
}
