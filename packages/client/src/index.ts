export * from './choice/gateways.ts';
export { ATTEMPT_MS, type GoodPath } from './choice/paths.ts';
export { faultOfConfiguration } from './configuration-check.ts';
export * from './configuration.ts';
export * from './daemon-protocol.ts';
export { isPrivateNetwork, localNetworksOf } from './firewall/local-networks.ts';
export { parsePrefix } from './ip.ts';
export { rulesetOf } from './firewall/ruleset.ts';
export { keyRenewalAt, RENEW_KEY_MS } from './keys/renewal.ts';
export { backOffMs } from './machine/back-off.ts';
export { controlAddressesOf, isKillSwitchRequired, killSwitchOf } from './machine/desired.ts';
export { nextDeadline } from './machine/serve.ts';
export { initialState, type Block, type Hop, type Remembered, type Session, type State } from './machine/state.ts';
export { intentOf, step, type Step } from './machine/step.ts';
export * from './machine/types.ts';
export { viewOf, type HopView, type View } from './machine/view.ts';
export { MAX_MTU } from './mtu/overhead.ts';
export {
  mtuDeadline,
  mtuStep,
  SMALL_PING,
  startMtuSearch,
  type MtuEvent,
  type MtuSearch,
  type MtuStep,
} from './mtu/search.ts';
export * from './names.ts';
export * from './settings.ts';
