/** Which answers a change makes old. */
import type { EventData } from '@sallyport/api';
import type { RouteId } from './call.ts';
import { queries } from './query.ts';
import { refreshSession } from './sign-in.ts';

type Kind = EventData<'change'>['kind'];

/** What may change who the user is, what they may do, or where they stand. */
const own: ReadonlySet<Kind> = new Set(['user', 'group', 'session', 'device', 'usage']);

const access: readonly RouteId[] = ['getPolicy', 'whoCanReach', 'explainAccess'];
const concerned: Readonly<Record<Kind, readonly RouteId[]>> = {
  // Whoever may not read what it was hears of it as a change of themselves.
  user: ['listMyGateways', 'listUsers', 'getUser', 'listGroupMembers', 'listMyDevices', 'listDevices', ...access],
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
  device: ['listDevices', 'getDevice', 'listMyDevices', 'getMyDevice', ...access],
  region: ['listRegions', 'getRegion', 'listGateways', 'listMyGateways'],
  gateway: ['listGateways', 'getGateway', 'listMyGateways', 'listEgress', 'listJoinTokens', ...access],
  resource: ['listResources', 'getResource', 'listRules', ...access],
  rule: ['listRules', 'getRule', 'listMyGateways', ...access],
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

/** Of what the overview counts. */
const counted: ReadonlySet<Kind> = new Set(['user', 'device', 'gateway', 'region', 'rule']);
/** It is long, so that it is not asked for with each of many changes. */
const overviewMs = 2000;
const gatherMs = 100;

let heard = new Set<Kind>();
let overviewIsDue = false;

/** Something changed elsewhere. Many changes at once are taken as one. */
export function hear(kind: Kind): void {
  if (heard.size === 0) {
    setTimeout(() => {
      const kinds = heard;
      heard = new Set();
      changed(...kinds);
    }, gatherMs);
  }
  heard.add(kind);
}

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
  if (kinds.some((kind) => counted.has(kind)) && !overviewIsDue) {
    overviewIsDue = true;
    setTimeout(() => {
      overviewIsDue = false;
      void queries.invalidateQueries({ queryKey: ['getOverview'] });
    }, overviewMs);
  }
  if (kinds.some((kind) => own.has(kind))) void refreshSession();
}
