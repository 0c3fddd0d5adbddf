import { gatewayRoutes as contracts, type Gateway } from '@sallyport/api';
import { formatAddress, parseAddress } from '@sallyport/policy';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { checkVersion } from '../http/version.ts';
import * as repository from '../repositories/gateways.ts';
import { refuseRequired } from '../repositories/groups.ts';
import { References } from '../repositories/references.ts';
import { findRegion } from '../repositories/regions.ts';
import { rulesUsing } from '../repositories/rules.ts';
import { isUniqueViolation } from '../store/database-errors.ts';
import type { Writing } from '../store/store.ts';
import { found, nameTaken } from './answers.ts';
import { Faults } from './faults.ts';
import { merge } from './merge.ts';
import { refuseBrokenTests } from './policy-guard.ts';

export const gatewayRoutes: readonly RouteImplementation[] = [
  implement(contracts.listGateways, ({ services, query }) =>
    repository.listGateways(services.store.db, query, services.now()),
  ),

  implement(contracts.getGateway, async ({ services, params }) =>
    found(await repository.findGateway(services.store.db, params.gatewayId, services.now()), 'gateway'),
  ),

  implement(contracts.updateGateway, ({ services, origin, params, body, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const before = found(await repository.findGateway(writing.db, params.gatewayId, writing.now), 'gateway');
      checkVersion(before.version, ifMatch);
      const faults = new Faults();
      const value = merge(repository.gatewayValue(before), {
        ...body,
        egress: body.egress && (await egressEntries(writing, before, body.egress, faults)),
      });
      if (body.regionId !== undefined && (await findRegion(writing.db, body.regionId)) === undefined)
        faults.add('/body/regionId', 'there is no such region: create it first');
      if ((value.latitude === null) !== (value.longitude === null))
        faults.add('/body/latitude', 'latitude and longitude go together');
      faults.check();
      try {
        const gateway = await repository.updateGateway(writing, before, value);
        await refuseBrokenTests(services, writing);
        return gateway;
      } catch (error) {
        throw isUniqueViolation(error) ? nameTaken('gateway', value.name) : error;
      }
    }),
  ),

  implement(contracts.deleteGateway, ({ services, origin, params, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const gateway = found(await repository.findGateway(writing.db, params.gatewayId, writing.now), 'gateway');
      checkVersion(gateway.version, ifMatch);
      // A rule that lost its last gateway would count at all of them.
      const rules = await rulesUsing(writing.db, 'gateways', gateway.id);
      if (rules.length > 0) {
        throw new ApiError(
          'stillUsed',
          `The gateway ${gateway.name} is named by the rules ${rules.slice(0, 10).join(', ')}: take it out of them first.`,
        );
      }
      await refuseRequired(writing.db, 'require_gateway_id', gateway.id);
      await repository.deleteGateway(writing, gateway);
      await refuseBrokenTests(services, writing);
    }),
  ),
];

/** Entries with the ids of their groups, and addresses in canonical form. What is wrong with them goes to `faults`. */
async function egressEntries(
  { db }: Writing,
  gateway: Gateway,
  entries: Gateway['egress'],
  faults: Faults,
): Promise<Gateway['egress']> {
  const references = await References.read(db, ['group']);
  const own = new Set(gateway.addresses.map(canonical));
  const known = gateway.addresses.length === 0 ? 'none' : gateway.addresses.join(', ');
  const seen = new Set<string | null>();
  return entries.map(({ groupId, ipv4, ipv6 }, index) => {
    const at = `/body/egress/${index}`;
    const group = groupId === null ? null : references.idOf('group', groupId);
    if (group === undefined) faults.add(`${at}/groupId`, 'there is no such group');
    else if (seen.has(group)) faults.add(`${at}/groupId`, 'an entry before it is for the same group');
    else seen.add(group);
    const address = (text: string | null, family: 'ipv4' | 'ipv6'): string | null => {
      if (text === null) return null;
      const form = canonical(text);
      if (!own.has(form)) faults.add(`${at}/${family}`, `the gateway has no such address; it has: ${known}`);
      return form;
    };
    return { groupId: group ?? null, ipv4: address(ipv4, 'ipv4'), ipv6: address(ipv6, 'ipv6') };
  });
}

function canonical(text: string): string {
  const address = parseAddress(text);
  return address === undefined ? text : formatAddress(address);
}
