export * from './model.ts';
export * from './state.ts';
export * from './firewall/plan.ts';
export * from './change.ts';
export * from './access/ip.ts';
export * from './access/pool.ts';
export * from './access/standing.ts';
export { nextExpiry, planGateway } from './access/plan.ts';
export { Planner } from './access/planner.ts';
export { explain, whoCanReach } from './access/explain.ts';
export type { AccessAnswer, AccessQuestion, Reacher } from './access/explain.ts';
export { gatewaysOf, type Target } from './access/reach.ts';
export { admits, requirementsOf, type Requirements } from './access/requirements.ts';
export { failingTests } from './access/tests.ts';
export type { FailingTest } from './access/tests.ts';
export { accessDifference } from './access/difference.ts';
export type { AccessDifference, AccessDifferences } from './access/difference.ts';
export { changeRuleset, type NftCommand, type RulesetChange } from './firewall/change-ruleset.ts';
export { compileFirewall, FirewallCompiler } from './firewall/compile.ts';
export {
  faultOfNetwork,
  MAX_CONNECTED_NETWORKS,
  MAX_NETWORKS,
  prefixesOverlap,
  usableNetworks,
  isNowhere,
} from './firewall/networks.ts';
export { judge, type FirstPacket, type Judgement } from './firewall/judge.ts';
export { faultOfGroupSize } from './firewall/group-size.ts';
export { FirewallPlanError } from './firewall/plan-error.ts';
export {
  generationSets,
  LAST_GENERATION,
  REFUSED_MARK,
  TABLE,
  type Chain,
  type ElementSet,
  type Meter,
  type Rule,
  type Ruleset,
} from './firewall/ruleset.ts';
