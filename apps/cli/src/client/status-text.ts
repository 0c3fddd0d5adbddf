/** The daemon's status in words. */
import type { ClientStatus } from '@sallyport/client';
import { formatBytes, formatMilliseconds, formatSpan } from './format.ts';
import { paint, printable, type Colour, type Style } from './terminal.ts';

const transports = { wireguard: 'WireGuard', amneziawg: 'AmneziaWG', tls: 'TLS (WebSocket)' } as const;
const colours: Readonly<Record<ClientStatus['state'], Colour>> = {
  disconnected: 'faint',
  connecting: 'yellow',
  connected: 'green',
  reconnecting: 'yellow',
  blocked: 'red',
  disconnecting: 'yellow',
};
const resolvers = {
  resolved: 'systemd-resolved',
  resolvconf: 'resolvconf',
  file: '/etc/resolv.conf',
  none: '',
} as const;

type Hop = ClientStatus['hops'][number];

/** `frankfurt-1 (Frankfurt, DE)`. */
export function placeOf({
  name,
  regionName,
  city,
  country,
}: Pick<Hop, 'name' | 'regionName' | 'city' | 'country'>): string {
  const place = [city ?? regionName, country].filter((part) => part !== null && part !== '');
  return printable(place.length === 0 ? name : `${name} (${place.join(', ')})`);
}

export function headline(status: ClientStatus, now: number, style: Style): string {
  const { state, since, hops, target } = status;
  const span = formatSpan(now - Date.parse(since));
  const exit = hops.at(-1);
  const entry = hops.length > 1 ? hops[0] : undefined;
  const word = paint(state, colours[state], style);
  const where =
    exit !== undefined && (state === 'connected' || state === 'reconnecting')
      ? ` to ${placeOf(exit)}${entry === undefined ? '' : ` by way of ${placeOf(entry)}`}`
      : state !== 'disconnected' && target !== null
        ? ` (${printable(target)})`
        : '';
  return `${word}${where}, for ${span}`;
}

/** Terms and what they are, a line each below the headline. */
export function factsOf(status: ClientStatus): (readonly [string, string])[] {
  const { account, hops, mtu, dns, requirements, advertised } = status;
  const facts: (readonly [string, string])[] = [];
  for (const [index, hop] of hops.entries()) {
    const term = hops.length === 1 ? 'gateway' : index === 0 ? 'entry' : 'exit';
    const latency = hop.roundTripMs === null ? '' : `, ${formatMilliseconds(hop.roundTripMs)}`;
    const keys = hop.postQuantum ? ', post-quantum keys' : '';
    facts.push([term, `${hop.endpoint} by ${transports[hop.transport]}${keys}${latency}`]);
  }
  if (hops.length > 0) {
    const { receivedBytes, sentBytes } = status;
    facts.push(['traffic', `${formatBytes(receivedBytes)} received, ${formatBytes(sentBytes)} sent`]);
  }
  if (mtu !== null) facts.push(['MTU', `${String(mtu)} bytes`]);
  if (dns.by !== 'none') facts.push(['names', `${dns.servers.join(', ')}, by ${resolvers[dns.by]}`]);
  const demanded = requirements.killSwitch ? ' (demanded by an administrator)' : '';
  facts.push(['kill switch', `${killSwitchText(status)}${demanded}`]);
  const places = [...requirements.regions, ...requirements.gateways];
  if (places.length > 0) facts.push(['allowed', places.join(', ')]);
  for (const { prefix, approved } of advertised) {
    facts.push(['advertised', `${prefix}${approved ? '' : ', waits for an administrator’s approval'}`]);
  }
  if (account === null) facts.push(['account', 'not logged in; run: sallyport login URL']);
  else {
    facts.push(['account', `${account.user} at ${account.url}`]);
    facts.push(['device', `${account.deviceName}, ${account.ipv4}, ${account.ipv6}`]);
  }
  return facts.map(([term, text]) => [term, printable(text)]);
}

function killSwitchText({ killSwitch, state }: ClientStatus): string {
  if (killSwitch === 'lockdown') return 'lockdown: nothing leaves this machine without a tunnel';
  return killSwitch === 'on' && state === 'disconnected' ? 'on, from "connect" on' : killSwitch;
}

/** All of it. `now` in Unix milliseconds. */
export function statusText(status: ClientStatus, now: number, style: Style): string {
  const facts = factsOf(status);
  const width = Math.max(...facts.map(([term]) => term.length));
  const { message, retryAt } = status;
  const lines = [headline(status, now, style)];
  if (message !== '') lines.push(printable(message));
  if (retryAt !== null) lines.push(`tries again in ${formatSpan(Date.parse(retryAt) - now)}`);
  for (const [term, text] of facts) lines.push(`  ${term.padEnd(width)}  ${text}`);
  return lines.join('\n');
}
