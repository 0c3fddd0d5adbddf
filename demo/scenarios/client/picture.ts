import type { ClientFacts } from '../client.ts';

/** The story of the client scenario, for people. */
export function drawClient(facts: ClientFacts): string {
  const { twoHops } = facts;
  const milliseconds = (value: number): string => `${String(value)} ms`;
  const packets = (value: number): string => `${String(value)} packets`;
  return [
    '              ┌─────────┐          ┌───────────────┐         ┌─────────────┐',
    ' client ══════╡ network ╞══════════╡ gateway       ├─────────┤ destination │',
    ' 10.66.1.10   └─────────┘          │ near          │         └──────┬──────┘',
    '                                   └──────╥────────┘                │',
    '                                   ┌──────╨────────┐                │',
    '                                   │ gateway, far  ├────────────────┘',
    '                                   └───────────────┘',
    '',
    `without a tunnel   the destination saw ${facts.withoutTunnelSawIpv4}`,
    `by one hop         the destination saw ${facts.destinationSawIpv4} and ${facts.destinationSawIpv6}`,
    `by two hops        the destination saw ${twoHops.destinationSawIpv4} and ${twoHops.destinationSawIpv6}`,
    `names, one hop     were asked by ${facts.nameServerSawIpv4}`,
    `names, two hops    were asked by ${twoHops.nameServerSawIpv4}`,
    '',
    `from "connect" to the first byte           ${milliseconds(facts.connectMilliseconds)}`,
    `from a gateway's death to the next answer  ${milliseconds(facts.failoverMilliseconds)}`,
    `leaked, whatever happened                  ${packets(facts.leakedPackets)}, ${String(facts.dnsLeaked)} questions for names`,
    `leaked with the kill switch off            ${packets(facts.leakedPacketsProtectionOff)}, ${String(facts.dnsLeakedProtectionOff)} questions for names`, // prettier-ignore
  ].join('\n');
}
