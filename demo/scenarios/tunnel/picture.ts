import type { TunnelFacts } from '../tunnel.ts';

/** Who saw what, for people. */
export function drawPicture(facts: TunnelFacts): string {
  const rate = (bitsPerSecond: number) => `${(bitsPerSecond / 1e6).toFixed(0)} Mbit/s`;
  const neighbours = Object.values(facts.neighbourPacketsOnWire).reduce((sum, count) => sum + count, 0);
  const machines = boxes([
    ['client', facts.clientIpv4, facts.clientIpv6],
    ['gateway', facts.gatewayIpv4, facts.gatewayIpv6],
    ['internet host', facts.destinationIpv4, facts.destinationIpv6],
  ]);
  const [client, gateway] = facts.tunnelEndpoints;
  return [
    ...machines,
    '',
    'The sniffer between client and gateway saw',
    `  ${count(facts.packetsOnWire, 'UDP datagram')} between ${client ?? ''} and ${gateway ?? ''}`,
    `  ${count(facts.otherPacketsOnWire, 'other packet')}`,
    `  ${count(neighbours, 'neighbour packet')}${neighbours === 0 ? '' : ` (${neighbourKinds(facts)})`}`,
    `  ${String(facts.plaintextPiecesOnWire)} of ${String(facts.plaintextPiecesSearched)} pieces of the page's text`,
    `  (behind the gateway, where HTTP is plain: ${String(facts.plaintextPiecesBehindGateway)})`,
    '',
    'The internet host saw',
    `  IPv4: ${facts.destinationSawIpv4}${whose(facts.destinationSawIpv4, facts.gatewayIpv4, facts.clientIpv4)}`,
    `  IPv6: ${facts.destinationSawIpv6}${whose(facts.destinationSawIpv6, facts.gatewayIpv6, facts.clientIpv6)}`,
    '',
    `Throughput: ${rate(facts.throughputBitsPerSecond)} down, ${rate(facts.uploadBitsPerSecond)} up`,
  ].join('\n');
}

function count(number: number, noun: string): string {
  return `${String(number)} ${noun}${number === 1 ? '' : 's'}`;
}

function neighbourKinds(facts: TunnelFacts): string {
  return Object.entries(facts.neighbourPacketsOnWire)
    .map(([kind, number]) => `${kind} ${String(number)}`)
    .join(', ');
}

function whose(seen: string, gateway: string, client: string): string {
  if (seen === gateway) return ', the gateway';
  return seen === client ? ', the client!' : '';
}

/** Three machines in a row: a tunnel between the first two, plain packets between the others. */
function boxes(texts: readonly (readonly string[])[]): string[] {
  const links = ['═════ tunnel ═════', '───── plain ─────'];
  const height = Math.max(...texts.map((lines) => lines.length));
  const width = (lines: readonly string[]) => Math.max(...lines.map((line) => line.length));
  const row = (draw: (lines: readonly string[], box: number) => string, middle: boolean) =>
    texts
      .map((lines, box) => {
        const link = links[box] ?? '';
        return draw(lines, box) + (middle ? link : ' '.repeat(link.length));
      })
      .join('')
      .trimEnd();
  return [
    row((lines) => `┌${'─'.repeat(width(lines) + 2)}┐`, false),
    ...Array.from({ length: height }, (_, line) =>
      row((lines) => `│ ${(lines[line] ?? '').padEnd(width(lines))} │`, line === 1),
    ),
    row((lines) => `└${'─'.repeat(width(lines) + 2)}┘`, false),
  ];
}
