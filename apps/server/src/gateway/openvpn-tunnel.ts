import type { Logins, ObservedDevice, Tunnel } from '@sallyport/agent';
import { advancesBy, type ClientView, type ServerEvent, type TunnelNetwork } from '@sallyport/openvpn';
import type { OpenVpnService, OpenVpnSide } from '@sallyport/openvpn-plane';
import type { DevicePlan, GatewayPlan, OpenVpnGateway } from '@sallyport/policy';
import { AuthTokens } from './auth-tokens.ts';
import type { ClientAddresses } from './client-addresses.ts';
import { OPENVPN_PROTOCOL, type GatewayPlane } from './gateway-plane.ts';
import type { OpenVpnKey } from './openvpn-key.ts';
import { OpenVpnLogins } from './openvpn-logins.ts';

/** Devices that were refused, whose counters are still told. */
const MAX_DEPARTED = 100_000;
/** Sessions at a time; each device has one. */
const MAX_SESSIONS = 16_000;
/** How long clients are given to hear that the gateway ends. */
const FAREWELL_MS = 250;
/** Devices that are cut off together, so that a long list does not hold the packets up. */
const CUTS_A_TURN = 256;
/** Until who comes to a drained gateway is sent on: its connection is whole by then, and it hears it. */
const SEND_ON_AFTER_MS = 1_000;
/** Who comes again so soon has found no other gateway, and stays. All servers of a profile are tried in half that time. */
const SENT_ON_MS = 600_000;

export interface OpenVpnTunnelOptions {
  readonly plane: GatewayPlane['plane'];
  readonly side: OpenVpnSide;
  readonly mtu: number;
  readonly key: OpenVpnKey;
  /** Where clients over TCP come from. */
  readonly addresses: ClientAddresses;
  /** What an operator has to know. No keys. */
  readonly onFault: (message: string) => void;
  /** Unix milliseconds. */
  readonly now: () => number;
}

/** What is remembered of a device beside its session of now. */
interface Past {
  lastHandshakeAt: number;
  sentBytes: number;
  receivedBytes: number;
}

/** OpenVPN for the gateway: devices by the profiles and certificates that were issued for them. */
export class OpenVpnTunnel implements Tunnel {
  readonly protocol = 'openvpn';
  readonly #options: OpenVpnTunnelOptions;
  readonly #devices = new Map<string, DevicePlan>();
  readonly #past = new Map<string, Past>();
  /** When devices were last sent to another gateway, by device; the newest last. */
  readonly #sentOn = new Map<string, number>();
  #plan: GatewayPlan | undefined;
  #service: OpenVpnService | undefined;
  #asked: OpenVpnLogins | undefined;
  /** Until the agent has said where: nobody decides, so nobody comes in. */
  #logins: Logins = { ask: () => () => undefined };

  /** Serves once it is told what the gateway is to be. */
  constructor(options: OpenVpnTunnelOptions) {
    this.#options = options;
  }

  /** Drop counters that are not zero. */
  get drops(): Tunnel['drops'] {
    return this.#options.plane.dropsOf(OPENVPN_PROTOCOL);
  }

  /** Devices that are connected. */
  get connected(): number {
    return this.#service?.server.count ?? 0;
  }

  setLogins(logins: Logins): void {
    this.#logins = logins;
  }

  setGateway(plan: GatewayPlan): void {
    const before = this.#plan?.openvpn;
    const sentOnBefore = this.#sendsOn;
    this.#plan = plan;
    const { openvpn } = plan;
    if (openvpn === undefined) {
      this.#end();
      return;
    }
    try {
      if (before?.clientKey !== openvpn.clientKey || before.authority !== openvpn.authority) this.#end();
      if (this.#service === undefined) this.#serve(openvpn);
      else {
        if (before?.certificate !== openvpn.certificate) this.#service.setTls(this.#tlsOptions(openvpn));
        this.#service.server.configure({ dataCiphers: openvpn.dataCiphers });
      }
    } catch {
      // OpenSSL's words name neither place nor remedy. A certificate of another key is replaced by the control plane.
      this.#options.onFault('OpenVPN can not be served with the certificate that came from the control plane');
    }
    if (this.#sendsOn && !sentOnBefore) this.#sendOn([...(this.#service?.clients() ?? [])]);
  }

  apply({ put, remove }: { readonly put: readonly DevicePlan[]; readonly remove: readonly DevicePlan[] }): void {
    const again: string[] = [];
    const gone: string[] = [];
    for (const { id, openvpn } of remove) {
      if (!this.#devices.delete(id)) continue;
      if (openvpn?.login === 'certificate') gone.push(id);
      else again.push(id);
    }
    const moved: string[] = [];
    for (const device of put) {
      const known = this.#devices.get(device.id);
      if (known !== undefined && (known.ipv4 !== device.ipv4 || known.ipv6 !== device.ipv6)) moved.push(device.id);
      this.#devices.set(device.id, device);
    }
    // A new login may be all that is missing, and one that logs in by its certificate has nothing else to try.
    this.#cut(again, { kind: 'sessionEnded', reason: 'access has ended: log in again' });
    this.#cut(gone, { kind: 'authFailed', reason: 'access has ended' });
    this.#cut(moved, { kind: 'restart', advance: false });
  }

  *observe(): Generator<ObservedDevice> {
    const now = new Map<string, Past>();
    for (const { deviceId, activity } of this.#service?.clients() ?? [])
      now.set(deviceId, { lastHandshakeAt: 0, sentBytes: activity.receivedBytes, receivedBytes: activity.sentBytes });
    for (const [deviceId, { lastHandshakeAt, sentBytes, receivedBytes }] of this.#past) {
      const session = now.get(deviceId);
      yield {
        deviceId,
        lastHandshakeAt,
        sentBytes: sentBytes + (session?.sentBytes ?? 0),
        receivedBytes: receivedBytes + (session?.receivedBytes ?? 0),
      };
    }
  }

  /** Sends clients to another gateway, those that know one; settles when they had time to hear it. */
  async leave(): Promise<void> {
    if (this.#service === undefined || this.#service.server.count === 0) return;
    this.#end();
    await new Promise((resolve) => setTimeout(resolve, FAREWELL_MS));
  }

  #serve(openvpn: OpenVpnGateway): void {
    const { side, mtu, addresses, now } = this.#options;
    const serverKey = new Uint8Array(Buffer.from(openvpn.clientKey, 'base64'));
    const asked = new OpenVpnLogins({
      tokens: new AuthTokens(() => this.#plan?.openvpn?.tokenKey, now),
      logins: this.#logins,
      device: (id) => this.#devices.get(id),
      push: () => this.#plan?.openvpn?.push ?? [],
      goesElsewhere: (id) => {
        if (!this.#sendsOn || this.#wasSentOn(id)) return false;
        this.#rememberSentOn(id);
        return true;
      },
      addressOf: (path) => addresses.of(side.addressOf(path), side.portOf(path)),
      decide: (id, verdict) => {
        service.decide(id, verdict);
      },
    });
    const service = side.serve({
      key: { kind: 'tls-crypt-v2', serverKey },
      tls: this.#tlsOptions(openvpn),
      network: () => this.#network(),
      settings: { dataCiphers: openvpn.dataCiphers, tunMtu: mtu, maxSessions: MAX_SESSIONS },
      authenticate: (request) => {
        asked.ask(request);
      },
      cancelled: (id) => {
        asked.cancel(id);
      },
      knows: (profile) => asked.knows(profile),
      report: (event) => {
        this.#note(event);
      },
    });
    this.#service = service;
    this.#asked = asked;
  }

  #end(): void {
    this.#service?.end({ kind: 'restart', advance: true });
    this.#asked?.cancelAll();
    this.#service = this.#asked = undefined;
  }

  #tlsOptions({ authority, certificate }: OpenVpnGateway): Parameters<OpenVpnService['setTls']>[0] {
    return { authority, certificate, privateKey: this.#options.key.privateKey };
  }

  /** The gateway's own addresses; all devices of the service are in one network with it. */
  #network(): TunnelNetwork {
    const { address4 = '', address6 = '', pool4 = '', pool6 = '' } = this.#plan ?? {};
    return {
      ipv4: { gateway: address4, prefixLength: lengthOf(pool4) },
      ipv6: { gateway: address6, prefixLength: lengthOf(pool6) },
    };
  }

  #cut(devices: readonly string[], ending: Parameters<OpenVpnService['disconnect']>[1]): void {
    for (let first = 0; first < devices.length; first += CUTS_A_TURN)
      this.#options.plane.exclusive(() => {
        this.#service?.disconnect(devices.slice(first, first + CUTS_A_TURN), ending);
      });
  }

  /** Whether clients are to go elsewhere: where there is no other gateway they stay. */
  get #sendsOn(): boolean {
    return this.#plan?.draining === true && (this.#plan.neighbours ?? []).length > 0;
  }

  /** Those that come back here first, whatever they are told, are sent on when they do; whom nothing sends on stays. */
  #sendOn(clients: readonly Pick<ClientView, 'deviceId' | 'advancesBy'>[]): void {
    const going = clients.filter(({ advancesBy }) => advancesBy !== undefined);
    for (const { deviceId, advancesBy } of going) if (advancesBy === 'restart') this.#rememberSentOn(deviceId);
    this.#cut(
      going.map(({ deviceId }) => deviceId),
      { kind: 'restart', advance: true },
    );
  }

  #wasSentOn(deviceId: string): boolean {
    return this.#options.now() - (this.#sentOn.get(deviceId) ?? -Infinity) < SENT_ON_MS;
  }

  #rememberSentOn(deviceId: string): void {
    this.#sentOn.delete(deviceId);
    this.#sentOn.set(deviceId, this.#options.now());
    for (const id of this.#sentOn.keys()) {
      if (this.#sentOn.size <= MAX_SESSIONS) break;
      this.#sentOn.delete(id);
    }
  }

  /** A client whose profile names this gateway first comes here, drained or not. */
  #came({ deviceId, peerInfo }: Extract<ServerEvent, { kind: 'established' }>): void {
    if (!this.#sendsOn || this.#wasSentOn(deviceId)) return;
    const client = { deviceId, advancesBy: advancesBy(peerInfo) };
    setTimeout(() => {
      if (this.#sendsOn) this.#sendOn([client]);
    }, SEND_ON_AFTER_MS).unref();
  }

  #note(event: ServerEvent): void {
    if (event.kind === 'refused') return;
    if (event.kind === 'established') this.#came(event);
    const past = this.#past.get(event.deviceId) ?? { lastHandshakeAt: 0, sentBytes: 0, receivedBytes: 0 };
    if (event.kind === 'closed') {
      past.sentBytes += event.activity.receivedBytes;
      past.receivedBytes += event.activity.sentBytes;
    } else past.lastHandshakeAt = this.#options.now();
    // The newest last.
    this.#past.delete(event.deviceId);
    this.#past.set(event.deviceId, past);
    if (this.#past.size <= MAX_DEPARTED + MAX_SESSIONS) return;
    for (const id of this.#past.keys())
      if (!this.#devices.has(id)) {
        this.#past.delete(id);
        break;
      }
  }
}

function lengthOf(prefix: string): number {
  return Number(prefix.split('/')[1]);
}
