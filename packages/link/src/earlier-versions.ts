/** What gateways get that speak an earlier version of the protocol: their schema refuses what came later. */
import { prefixesOverlap, type GroupPlan, type StateChange } from '@sallyport/policy';

/** The change without what version 2 doesn't know: OpenVPN and its devices. */
export function forSecondVersion(change: StateChange): StateChange {
  const { gateway } = change;
  return {
    ...change,
    ...(gateway !== undefined && { gateway: { ...gateway, openvpn: undefined } }),
    putDevices: change.putDevices.filter(({ openvpn }) => openvpn === undefined),
  };
}

/**
 * The change without what version 1 doesn't know. A gateway of that version can't tell a network behind a device from the
 * same one elsewhere: where `connected` holds any, it gets no grant that may lead there, neither by prefix nor by name.
 */
export function forFirstVersion(changed: StateChange, connected: readonly string[]): StateChange {
  const change = forSecondVersion(changed);
  const { gateway } = change;
  return {
    ...change,
    ...(gateway !== undefined && {
      gateway: { ...gateway, neighbours: undefined, connectedNetworks: undefined, names: undefined },
    }),
    putGroups: change.putGroups.map((group) => withoutConnected(group, connected)),
    putDevices: change.putDevices.map((device) => ({ ...device, networks: undefined })),
  };
}

function withoutConnected(group: GroupPlan, connected: readonly string[]): GroupPlan {
  if (connected.length === 0) return group;
  const grants = group.grants.filter(({ destination }) => {
    if (destination.kind === 'internet') return true;
    return destination.kind === 'network' && !connected.some((network) => prefixesOverlap(destination.prefix, network));
  });
  return { ...group, grants };
}
