/**
 * The programs of a machine that must not leak: traffic.ts DEVICES GATEWAY-ADDRESSES sends, until it is ended, whatever
 * would be a leak if it left beside the tunnel. Prints `ready` after the first round, and at SIGTERM how often each kind
 * was tried, as JSON. That something can't be sent is as it should be.
 */
import { spawn } from 'node:child_process';
import { createSocket } from 'node:dgram';
import { connect, isIPv6 } from 'node:net';
import { connectMarkedTcp, openMarkedUdpSocket } from '@sallyport/io';
import { STRANGER } from './outer-capture.ts';
import { PORTS } from './servers.ts';
import { ACCESS, NEIGHBOUR, WEB } from './world.ts';

const ROUND_MS = 60;
const TCP_MS = 600;
const [devices = [], gateways = []] = process.argv.slice(2).map((list) => list.split(','));
const tried = new Map<string, number>();

function count(kind: string): void {
  tried.set(kind, (tried.get(kind) ?? 0) + 1);
}

function udp(kind: string, address: string, port: number, device?: string, source?: string): void {
  count(kind);
  const socket = createSocket(isIPv6(address) ? 'udp6' : 'udp4');
  const close = (): void => {
    socket.removeAllListeners();
    socket.on('error', () => undefined);
    socket.close();
  };
  socket.once('error', close);
  try {
    const send = (): void => {
      if (address.endsWith('.255')) socket.setBroadcast(true);
      socket.send(STRANGER, port, address, close);
    };
    if (device === undefined) socket.bind({ port: 0, ...(source === undefined ? {} : { address: source }) }, send);
    else socket.bind({ fd: openMarkedUdpSocket(isIPv6(address) ? 6 : 4, { mark: 0, device }) }, send);
  } catch {
    close();
  }
}

function tcp(kind: string, address: string, port: number, device?: string): void {
  count(kind);
  try {
    const socket =
      device === undefined ? connect(port, address) : connectMarkedTcp(address, port, { mark: 0, device }, TCP_MS);
    const timer = setTimeout(() => socket.destroy(), TCP_MS);
    socket.on('error', () => undefined).on('connect', () => socket.end(STRANGER));
    socket.on('close', () => clearTimeout(timer));
  } catch {
    // There is no such device now.
  }
}

/** One connection that was there before the tunnel, and goes on as long as anybody lets it. */
function stream(): void {
  count('stream');
  const socket = connect(80, WEB.ipv4, () => socket.write('GET /stream HTTP/1.1\r\nHost: web\r\n\r\n'));
  socket.on('data', () => undefined).on('error', () => undefined);
  socket.on('close', () => setTimeout(stream, 500));
}

function ping(...args: string[]): void {
  count('ping');
  const child = spawn('ping', ['-q', '-n', '-i', '0.2', ...args], { stdio: 'ignore' });
  child.on('error', () => undefined).on('close', () => setTimeout(() => ping(...args), 500));
}

function round(number: number): void {
  udp('udp', WEB.ipv4, 9);
  udp('udp6', WEB.ipv6, 9);
  for (const server of [ACCESS.home.router, ACCESS.cafe.router, WEB.ipv4, WEB.ipv6]) udp('dns', server, 53);
  for (const device of devices) udp('bound', WEB.ipv4, 9, device);
  for (const gateway of gateways) {
    udp('gateway', gateway, 9);
    // The tunnel's own port: it is not the address that makes it the tunnel.
    udp('endpoint', gateway, PORTS.wireguard);
  }
  udp('neighbour', NEIGHBOUR, 9);
  if (number % 4 !== 0) return;
  for (const { client } of Object.values(ACCESS)) udp('source', WEB.ipv4, 9, undefined, client);
  for (const device of devices) {
    udp('bound6', WEB.ipv6, 9, device);
    udp('multicast', '224.0.0.251', 5353, device);
    udp('multicast6', 'ff02::fb', 5353, device);
    udp('broadcast', '255.255.255.255', 9, device);
    tcp('bound tcp', WEB.ipv4, 80, device);
  }
  tcp('tcp', WEB.ipv4, 80);
  tcp('tcp6', WEB.ipv6, 80);
  tcp('neighbour tcp', NEIGHBOUR, 80);
  for (const server of [ACCESS.home.router, WEB.ipv4]) for (const port of [53, 853]) tcp('dns tcp', server, port);
  for (const gateway of gateways) tcp('gateway tcp', gateway, 22);
}

process.on('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify(Object.fromEntries(tried))}\n`, () => process.exit(0));
});
stream();
ping(WEB.ipv4);
ping(WEB.ipv6);
for (const device of devices) ping('-I', device, WEB.ipv4);
let number = 0;
round(number);
setInterval(() => round(++number), ROUND_MS);
process.stdout.write('ready\n');
