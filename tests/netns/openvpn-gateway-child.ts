// The gateway's tunnels in the namespace that it is started in: its plane with both protocols, OpenVPN's devices and logins
// told by a test. Its start is the JSON of the file named; what it is asked comes as lines of JSON by a Unix socket.
import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { createInterface } from 'node:readline';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Logins, ObservedDevice } from '@sallyport/agent';
import { Secret } from '@sallyport/core';
import { signLoginToken, type AuthenticationVerdict } from '@sallyport/link';
import type { OpenVpnServer } from '@sallyport/openvpn';
import type { DevicePlan, GatewayPlan } from '@sallyport/policy';
import { ClientAddresses } from '../../apps/server/src/gateway/client-addresses.ts';
import { openGatewayPlane } from '../../apps/server/src/gateway/gateway-plane.ts';
import { OpenVpnTunnel } from '../../apps/server/src/gateway/openvpn-tunnel.ts';

export interface GatewayStart {
  readonly interfaceName: string;
  readonly openvpnPort: number;
  readonly mtu: number;
  /** PEM. */
  readonly privateKey: string;
  /** What the control plane signs login tokens with, PEM. */
  readonly tokenKey: string;
  readonly socket: string;
  readonly plan: GatewayPlan;
  readonly devices: readonly DevicePlan[];
  /** Who logs in with what; a code is asked for where there is one. A URL: the user logs in there. */
  readonly logins: Readonly<Record<string, { readonly password: string; readonly code?: string }>>;
  readonly web?: string;
}

export interface Observed {
  readonly devices: readonly ObservedDevice[];
  readonly connected: number;
  readonly drops: OpenVpnTunnel['drops'];
  /** How often the control plane was asked. */
  readonly asked: number;
}

export type Command =
  | { readonly kind: 'apply'; readonly put?: readonly DevicePlan[]; readonly remove?: readonly DevicePlan[] }
  | { readonly kind: 'plan'; readonly plan: GatewayPlan }
  | { readonly kind: 'observe' }
  | { readonly kind: 'approve' }
  | { readonly kind: 'configure'; readonly settings: Parameters<OpenVpnServer['configure']>[0] }
  | { readonly kind: 'memory' }
  | { readonly kind: 'leave' };

const start = JSON.parse(readFileSync(process.argv[2], 'utf8')) as GatewayStart;
const opened = await openGatewayPlane({ ...start, listenPort: 0, amneziawgPort: 0, workers: 2 });
if (opened.openvpn === undefined) throw new Error('OpenVPN is not spoken');
const tunnel = new OpenVpnTunnel({
  plane: opened.plane,
  side: opened.openvpn,
  mtu: start.mtu,
  key: { privateKey: new Secret(start.privateKey), publicKey: '' },
  addresses: new ClientAddresses(),
  onFault: (message) => {
    process.stderr.write(`fault: ${message}\n`);
  },
  now: () => Date.now(),
});

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

const tokenKey = createPrivateKey(start.tokenKey);
const LOGIN_MS = 12 * 3_600_000;

function admission({ id, openvpn }: DevicePlan): AuthenticationVerdict {
  const loginAt = Date.now();
  const login = { deviceId: id, loginEpoch: openvpn?.loginEpoch ?? '', loginAt, endsAt: loginAt + LOGIN_MS };
  return { kind: 'admit', token: signLoginToken(login, tokenKey) };
}

let asked = 0;
const waiting = new Set<() => void>();
const logins: Logins = {
  ask({ proof, deviceId }, answer) {
    asked++;
    const device = start.devices.find(({ id }) => id === deviceId);
    const later = (verdict: Parameters<typeof answer>[0]): void => {
      setTimeout(() => {
        answer(verdict);
      }, 20);
    };
    if (proof.kind === 'web' && start.web !== undefined) {
      later({ kind: 'web', url: start.web, timeoutSeconds: 60 });
      waiting.add(() => {
        if (device !== undefined) answer(admission(device));
      });
    } else if (proof.kind === 'password') {
      const known = start.logins[proof.userName];
      const code = proof.code?.reveal();
      const resumed = proof.challengeState === `state-of-${proof.userName}`;
      if (known === undefined || device === undefined || (!resumed && proof.password.reveal() !== known.password))
        later({ kind: 'refuse', reason: 'user name or password is wrong' });
      else if (known.code !== undefined && (code === undefined || code === ''))
        later({ kind: 'refuse', reason: 'a code is needed', challenge: { state: `state-of-${proof.userName}`, text: 'Code', echo: true } }); // prettier-ignore
      else if (known.code !== undefined && code !== known.code) later({ kind: 'refuse', reason: 'the code is wrong' });
      else {
        tunnel.apply({ put: [device], remove: [] });
        later(admission(device));
      }
    } else later({ kind: 'refuse', reason: 'this device may not connect' });
    return () => undefined;
  },
};
tunnel.setLogins(logins);
tunnel.setGateway(start.plan);
tunnel.apply({ put: start.devices, remove: [] });

async function answer(command: Command): Promise<unknown> {
  switch (command.kind) {
    case 'apply':
      tunnel.apply({ put: command.put ?? [], remove: command.remove ?? [] });
      return {};
    case 'plan':
      tunnel.setGateway(command.plan);
      return {};
    case 'observe':
      return {
        devices: [...tunnel.observe()],
        connected: tunnel.connected,
        drops: tunnel.drops,
        asked,
      } satisfies Observed;
    case 'approve':
      for (const admit of waiting) admit();
      waiting.clear();
      return {};
    case 'configure':
      // Nobody needs another setting of these but a test, which has no hour.
      (opened.openvpn?.halves.sessions as unknown as { current: OpenVpnServer }).current.configure(command.settings);
      return {};
    case 'memory':
      collectGarbage();
      return process.memoryUsage();
    case 'leave':
      await tunnel.leave();
      return {};
  }
}

createServer((socket) => {
  socket.on('error', () => undefined);
  createInterface({ input: socket }).on('line', (line) => {
    void answer(JSON.parse(line) as Command).then((result) => socket.write(`${JSON.stringify(result)}\n`));
  });
}).listen(start.socket, () => process.stdout.write('started\n'));
