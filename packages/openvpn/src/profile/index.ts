export { parseProfile, type ProfileFiles } from './parse.ts';
export type {
  ControlHash,
  ControlWrapping,
  NetworkSettings,
  OpenVpnProfile,
  ParsedProfile,
  ProfileRemote,
  ProfileRoute,
  PullFilter,
  Remark,
} from './profile.ts';
export { pullAction, pulledNetwork } from './pulled.ts';
