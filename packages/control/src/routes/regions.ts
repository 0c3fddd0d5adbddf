import { gatewayRoutes as contracts } from '@sallyport/api';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { checkVersion } from '../http/version.ts';
import { refuseRequired } from '../repositories/groups.ts';
import * as repository from '../repositories/regions.ts';
import { isUniqueViolation } from '../store/database-errors.ts';
import { found, nameTaken } from './answers.ts';

export const regionRoutes: readonly RouteImplementation[] = [
  implement(contracts.listRegions, ({ services, query }) => repository.listRegions(services.store.db, query)),

  implement(contracts.createRegion, ({ services, origin, body }) =>
    services.store.write(origin, async (writing) => {
      if ((await repository.findRegion(writing.db, body.id)) !== undefined) throw nameTaken('region', body.id);
      try {
        return await repository.insertRegion(writing, body);
      } catch (error) {
        throw isUniqueViolation(error) ? nameTaken('region', body.name) : error;
      }
    }),
  ),

  implement(contracts.getRegion, async ({ services, params }) =>
    found(await repository.findRegion(services.store.db, params.regionId), 'region'),
  ),

  implement(contracts.updateRegion, ({ services, origin, params, body, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const region = found(await repository.findRegion(writing.db, params.regionId), 'region');
      checkVersion(region.version, ifMatch);
      try {
        return await repository.renameRegion(writing, region, body.name);
      } catch (error) {
        throw isUniqueViolation(error) ? nameTaken('region', body.name) : error;
      }
    }),
  ),

  implement(contracts.deleteRegion, ({ services, origin, params, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const { db } = writing;
      const region = found(await repository.findRegion(db, params.regionId), 'region');
      checkVersion(region.version, ifMatch);
      const gateways = await db.selectFrom('gateway').select('name').where('region_id', '=', region.id).execute();
      if (gateways.length > 0) {
        const names = gateways.slice(0, 10).map(({ name }) => name);
        throw new ApiError(
          'stillUsed',
          `The gateways ${names.join(', ')} are in it: move them to another region first.`,
        );
      }
      await refuseRequired(db, 'require_region_id', region.id);
      await repository.deleteRegion(writing, region);
    }),
  ),
];
