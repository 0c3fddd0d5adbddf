import type { DeviceChange, PeerChange } from '../../packages/wireguard/src/uapi.ts';

/** A change of a device that changes nothing, to be spread into one that does. */
export const UNCHANGED_DEVICE: DeviceChange = {
  privateKey: undefined,
  listenPort: undefined,
  fwmark: undefined,
  replacePeers: false,
  peers: [],
};

export const UNCHANGED_PEER: Omit<PeerChange, 'publicKey'> = {
  remove: false,
  updateOnly: false,
  presharedKey: undefined,
  endpoint: undefined,
  persistentKeepalive: undefined,
  replaceAllowedIps: false,
  allowedIps: [],
};
