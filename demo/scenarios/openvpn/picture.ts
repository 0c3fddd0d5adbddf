import type { OpenvpnFacts } from '../openvpn.ts';

/** The story of the OpenVPN scenario, for people. */
export function drawOpenvpn(facts: OpenvpnFacts): string {
  const by = (transport: string, cipher: string): string => `${transport}, ${cipher}`;
  return [
    '              ┌──────────────────────┐        ┌───────────────┐',
    ' alice ══╗    │ gateway 1            │        │ internet      │',
    `         ╠════╡ ${facts.gatewayIpv4.padEnd(20)} ├────────┤ sees gateways │`,
    ' bob   ══╝    │                      │        └───────────────┘',
    '              └──────────────────────┘',
    '',
    `both use ${facts.client}, with profiles that sallyport made`,
    `alice, by her certificate   ${by(facts.transport, facts.cipher)}`,
    `                            the internet saw ${facts.destinationSawIpv4} and ${facts.destinationSawIpv6}`,
    `bob, by his password        ${by(facts.passwordTransport, facts.passwordCipher)}`,
    `                            the internet saw ${facts.passwordDestinationSawIpv4} and ${facts.passwordDestinationSawIpv6}`,
    `a wrong password            ${facts.wrongPasswordRefused ? 'was refused' : 'WAS NOT REFUSED'}`,
    '',
    `alice, whose device was removed while she transferred, was cut off after ${String(facts.revokedMilliseconds)} ms`,
  ].join('\n');
}
