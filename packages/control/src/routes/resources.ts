import { accessRoutes } from '@sallyport/api';
import { ApiError } from '../http/api-error.ts';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { checkVersion } from '../http/version.ts';
import * as repository from '../repositories/resources.ts';
import { rulesUsing } from '../repositories/rules.ts';
import { isUniqueViolation } from '../store/database-errors.ts';
import { found, nameTaken } from './answers.ts';
import { Faults } from './faults.ts';
import { merge } from './merge.ts';
import { refuseBrokenTests } from './policy-guard.ts';
import { resourceValue } from './policy-values.ts';

export const resourceRoutes: readonly RouteImplementation[] = [
  implement(accessRoutes.listResources, ({ services, query }) => repository.listResources(services.store.db, query)),

  implement(accessRoutes.createResource, async ({ services, origin, body }) => {
    const faults = new Faults();
    const value = resourceValue(
      {
        name: body.name,
        description: body.description ?? '',
        kind: body.kind,
        prefixes: body.prefixes ?? [],
        domain: body.domain ?? null,
        services: body.services ?? [],
      },
      '/body',
      faults,
    );
    faults.check();
    return await services.store.write(origin, async (writing) => {
      if ((await repository.findResource(writing.db, value.name)) !== undefined)
        throw nameTaken('resource', value.name);
      const resource = await repository.insertResource(writing, value);
      await refuseBrokenTests(services, writing);
      return resource;
    });
  }),

  implement(accessRoutes.getResource, async ({ services, params }) =>
    found(await repository.findResource(services.store.db, params.resourceId), 'resource'),
  ),

  implement(accessRoutes.updateResource, ({ services, origin, params, body, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const before = found(await repository.findResource(writing.db, params.resourceId), 'resource');
      checkVersion(before.version, ifMatch);
      const faults = new Faults();
      const { id: _id, version: _version, ...old } = before;
      const value = resourceValue(merge(old, body), '/body', faults);
      faults.check();
      try {
        const resource = await repository.updateResource(writing, before, value);
        await refuseBrokenTests(services, writing);
        return resource;
      } catch (error) {
        throw isUniqueViolation(error) ? nameTaken('resource', value.name) : error;
      }
    }),
  ),

  implement(accessRoutes.deleteResource, ({ services, origin, params, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const resource = found(await repository.findResource(writing.db, params.resourceId), 'resource');
      checkVersion(resource.version, ifMatch);
      const users = await rulesUsing(writing.db, 'resources', resource.id);
      if (users.length > 0) {
        throw new ApiError(
          'stillUsed',
          `The resource ${resource.name} is used by the rules ${users.slice(0, 10).join(', ')}: take it out of them first.`,
        );
      }
      await repository.deleteResource(writing, resource);
      await refuseBrokenTests(services, writing);
    }),
  ),
];
