import type { RouteImplementation } from '../http/implement.ts';
import { deviceRoutes } from './devices.ts';
import { explainRoutes } from './explain.ts';
import { policyTestRoutes } from './policy-tests.ts';
import { policyRoutes } from './policy.ts';
import { resourceRoutes } from './resources.ts';
import { ruleRoutes } from './rules.ts';
import { settingsRoutes } from './settings.ts';

/** What serves the access routes of the API, all of them. */
export const accessImplementations: readonly RouteImplementation[] = [
  ...deviceRoutes,
  ...resourceRoutes,
  ...ruleRoutes,
  ...policyTestRoutes,
  ...policyRoutes,
  ...explainRoutes,
  ...settingsRoutes,
];
