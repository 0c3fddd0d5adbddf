/** Which answers a change makes old. */
import type { EventData } from '@sallyport/api';
import type { RouteId } from './call.ts';
import { queries } from './query.ts';
import { refreshSession } from './sign-in.ts';

type Kind = EventData<'change'>['kind'];

const access: readonly RouteId[] = ['getPolicy', 'whoCanReach', 'explainAccess'];
const concerned: Readonly<Record<Kind, readonly RouteId[]>> = {
  user: ['listUsers', 'getUser', 'listGroupMembers', 'listMyDevices', 'listDevices', 'getOverview', ...access],
  group: [
    'listGroups',
    'getGroup',
    'listGroupMembers',
    'listUsers',
    'listMyDevices',
    'listDevices',
    'listMyGateways',
    'listEgress',
    ...access,
  ],
  device: ['listDevices', 'getDevice', 'listMyDevices', 'getMyDevice', 'getOverview', ...access],
  region: ['listRegions', 'getRegion', 'listGateways', 'listMyGateways', 'getOverview'],
  gateway: ['listGateways', 'getGateway', 'listMyGateways', 'listEgress', 'listJoinTokens', 'getOverview', ...access],
  resource: ['listResources', 'getResource', 'listRules', ...access],
  rule: ['listRules', 'getRule', 'listMyGateways', 'getOverview', ...access],
  policyTest: ['listPolicyTests', 'getPolicyTest', 'getPolicy'],
  settings: ['getSettings'],
  usage: ['listMyDevices', 'listDevices', 'listUsers', 'getUsage', 'getMyUsage', 'getUserUsage', 'getDeviceUsage'],
  invitation: ['listInvitations'],
  token: ['listTokens'],
  identityProvider: ['listIdentityProviders', 'getIdentityProvider', 'listSignInMethods'],
  scimClient: ['listScimClients'],
  session: ['listMySessions', 'listUserSessions', 'getMySecondFactors'],
  everything: [],
};

/** Asks again for what pages show of these kinds, and forgets the rest of it. */
export function changed(...kinds: readonly Kind[]): void {
  if (kinds.includes('everything')) {
    void queries.invalidateQueries();
    void refreshSession();
    return;
  }
  const ids = new Set<unknown>(kinds.flatMap((kind) => concerned[kind]));
  // Whatever happens is in the audit log.
  ids.add('listAudit');
  void queries.invalidateQueries({ predicate: ({ queryKey }) => ids.has(queryKey[0]) });
  if (
    kinds.some(
      (kind) => kind === 'user' || kind === 'group' || kind === 'session' || kind === 'device' || kind === 'usage',
    )
  )
    void refreshSession();
}
