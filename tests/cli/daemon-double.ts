/**
 * The daemon's end of the line protocol, answering as a test says: for what the commands make of answers, and for answers
 * that the daemon never gives. The daemon itself is tested in namespaces.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { clientSettings, daemonRequest, methods, type ClientStatus, type MethodName } from '@sallyport/client';

export const program = fileURLToPath(new URL('../../bin/sallyport', import.meta.url));

export interface Asked {
  readonly method: MethodName;
  readonly params: Record<string, unknown>;
}

/** What a test answers with: lines as they are, or objects that get the request's id. */
export type Answer = (asked: Asked, say: (message: object | string) => void, socket: Socket) => unknown;

export interface Run {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly pid: number | undefined;
}

export interface DaemonDouble extends AsyncDisposable {
  readonly path: string;
  readonly folder: string;
  readonly asked: Asked[];
  answer: Answer;
  /** Runs the program against it. */
  run(args: readonly string[], options?: { readonly input?: string; readonly env?: Record<string, string>; readonly uid?: number; readonly until?: RegExp; readonly command?: string }): Promise<Run>; // prettier-ignore
}

/** Of a daemon that nobody has logged in. */
export const idle: Answer = ({ method }, say) => {
  if (method === 'status') say({ result: STATUS });
  else if (method === 'settings') say({ result: SETTINGS });
  else say({ error: { code: 'failed', message: `nobody said what ${method} is` } });
};

export async function daemonDouble(): Promise<DaemonDouble> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-client-'));
  const path = join(folder, 'socket');
  const sockets = new Set<Socket>();
  const double: DaemonDouble = {
    path,
    folder,
    asked: [],
    answer: idle,
    async run(args, { input = '', env = {}, uid, until, command = program } = {}) {
      const child = spawn(command, args, {
        env: { ...process.env, LANG: 'C.UTF-8', LC_ALL: '', XDG_CONFIG_HOME: join(folder, 'home'), SALLYPORT_CLIENT_SOCKET: path, ...env },
        ...(uid === undefined ? {} : { uid, cwd: '/' }),
      }); // prettier-ignore
      let stdout = '';
      let stderr = '';
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
        if (until?.test(stdout) === true) child.kill('SIGTERM');
      });
      child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
      child.stdin.on('error', () => undefined);
      child.stdin.end(input);
      const [status] = (await once(child, 'close')) as [number | null];
      return { status, stdout, stderr, pid: child.pid };
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
      rmSync(folder, { recursive: true, force: true });
    },
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    let text = '';
    socket.setEncoding('utf8');
    socket.on('error', () => undefined);
    socket.on('data', (chunk: string) => {
      text += chunk;
      const end = text.indexOf('\n');
      if (end < 0) return;
      const request = daemonRequest.parse(JSON.parse(text.slice(0, end)));
      const asked = { method: request.method, params: methods[request.method].params.parse(request.params) };
      double.asked.push(asked);
      const say = (message: object | string): void => {
        socket.write(typeof message === 'string' ? message : `${JSON.stringify({ id: request.id, ...message })}\n`);
      };
      void double.answer(asked, say, socket);
    });
  });
  server.listen(path);
  await once(server, 'listening');
  return double;
}

export const SETTINGS = clientSettings.parse({});

const HOP = {
  gatewayId: 'g1',
  name: 'frankfurt-1',
  regionName: 'Frankfurt',
  country: 'DE',
  city: 'Frankfurt',
  endpoint: '198.51.100.10:51820',
  transport: 'wireguard',
  postQuantum: true,
  lastHandshakeAt: '2027-01-15T12:00:00.000Z',
  roundTripMs: 12.4,
} as const;

export const ENTRY = { ...HOP, gatewayId: 'g2', name: 'oslo-1', regionName: 'Oslo', country: 'NO', city: 'Oslo', endpoint: '[2001:db8::20]:443', transport: 'tls', postQuantum: false, roundTripMs: null } as const; // prettier-ignore

export const CONNECTED: ClientStatus = {
  state: 'connected',
  since: '2027-01-15T12:00:00.000Z',
  message: '',
  retryAt: null,
  account: {
    url: 'https://vpn.example.org',
    user: 'alice',
    deviceId: 'd1',
    deviceName: 'alice-laptop',
    ipv4: '100.64.0.5',
    ipv6: 'fd00::5',
  },
  target: 'frankfurt',
  steps: [
    { name: 'configuration', state: 'done', detail: 'as of now', milliseconds: 31 },
    { name: 'gateway', state: 'done', detail: 'frankfurt-1, WireGuard', milliseconds: 4.2 },
    { name: 'ready', state: 'done', detail: '', milliseconds: 180 },
  ],
  hops: [HOP],
  mtu: 1420,
  receivedBytes: 1_234_567_890,
  sentBytes: 98_765,
  killSwitch: 'on',
  dns: { by: 'resolved', servers: ['100.64.0.1'] },
  requirements: { killSwitch: false, regions: [], gateways: [] },
  advertised: [],
  version: '0.1.0',
};

export const STATUS: ClientStatus = {
  ...CONNECTED,
  state: 'disconnected',
  account: null,
  target: null,
  steps: [],
  hops: [],
  mtu: null,
  receivedBytes: 0,
  sentBytes: 0,
  killSwitch: 'off',
  dns: { by: 'none', servers: [] },
};
