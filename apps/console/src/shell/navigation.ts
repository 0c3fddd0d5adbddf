import type { Permission } from '@sallyport/api';
import { t } from '../strings/index.ts';

export interface Place {
  readonly path: string;
  readonly label: string;
  readonly permission?: Permission;
}

/** What the menu shows, to whom it is any use. */
export const own: readonly Place[] = [
  { path: '/devices', label: t.shell.devices },
  { path: '/regions', label: t.shell.regions },
  { path: '/account', label: t.shell.account },
];

export const administration: readonly Place[] = [
  { path: '/overview', label: t.shell.overview, permission: 'gateways:read' },
  { path: '/users', label: t.shell.users, permission: 'users:read' },
  { path: '/groups', label: t.shell.groups, permission: 'groups:read' },
  { path: '/invitations', label: t.shell.invitations, permission: 'users:read' },
  { path: '/all-devices', label: t.shell.allDevices, permission: 'devices:read' },
  { path: '/gateways', label: t.shell.gateways, permission: 'gateways:read' },
  { path: '/policy', label: t.shell.policy, permission: 'policy:read' },
  { path: '/reach', label: t.shell.reach, permission: 'policy:read' },
  { path: '/usage', label: t.shell.usage, permission: 'devices:read' },
  { path: '/audit', label: t.shell.audit, permission: 'audit:read' },
  { path: '/settings', label: t.shell.settings, permission: 'settings:read' },
  { path: '/sign-in', label: t.shell.signInSettings, permission: 'settings:read' },
  { path: '/tokens', label: t.shell.tokens, permission: 'tokens:read' },
];
