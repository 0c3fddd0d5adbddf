import type { ServiceFacts } from '../service.ts';

/** The story of the service scenario, for people. */
export function drawService(facts: ServiceFacts): string {
  const check = (good: boolean) => (good ? 'yes' : 'NO');
  return [
    '              ┌──────────────────────┐        ┌───────────────┐',
    ' alice ══╗    │ gateway 1 + control  │        │ internet      │',
    `         ╠════╡ ${facts.gatewayIpv4.padEnd(20)} ├────────┤ sees gateways │`,
    ` bob   ══╝    │ ${facts.groupEgressIpv4.padEnd(20)} │        └───────────────┘`,
    '              └─────┬────────────────┘        ┌───────────────┐',
    '                    │ link                    │ internal      │',
    '              ┌─────┴────────────────┐        │ admits one    │',
    `              │ gateway 2, Oslo      ├────────┤ address       │`,
    `              │ ${facts.secondGatewayIpv4.padEnd(20)} │        └───────────────┘`,
    '              └──────────────────────┘',
    '',
    `bob, in no group of his own     the internet saw ${facts.destinationSawIpv4} and ${facts.destinationSawIpv6}`,
    `alice, in the group "finance"   the internet saw ${facts.groupEgressSawIpv4} and ${facts.groupEgressSawIpv6}`,
    `bob by way of Oslo              the internet saw ${facts.secondRegionSawIpv4} and ${facts.secondRegionSawIpv6}`,
    '',
    `internal system, reached by the group       ${check(facts.internalReachedByGroup)}`,
    `internal system, refused to others          ${check(facts.internalRefusedToOthers)}`,
    `internal system, refused from outside       ${check(facts.internalRefusedFromOutside)}`,
    `private network, reached by the group       ${check(facts.privateReachedByGroup)}`,
    `private network, refused to others          ${check(facts.privateRefusedToOthers)}`,
    `a change that a policy test forbids refused ${check(facts.policyChangeRefused)}`,
    '',
    `alice, disabled while she transferred, was cut off after ${String(facts.cutOffMilliseconds)} ms`,
  ].join('\n');
}
