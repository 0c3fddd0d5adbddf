/**
 * The control plane's answer, `ClientConfiguration` of packages/api, in words of this package's own: it is compiled without
 * any platform's types. Each can be taken for the other; tests/client sees to that.
 */

export interface ServiceGateway {
  readonly id: string;
  readonly name: string;
  readonly regionId: string;
  readonly regionName: string;
  readonly country: string | null;
  readonly city: string | null;
  /** Base64. */
  readonly wireguardPublicKey: string;
  readonly endpointHost: string;
  readonly endpointPort: number;
  readonly endpointAddresses: string[];
  readonly amneziawg: (AmneziaParameters & { readonly port: number }) | null;
  readonly tls: (TlsParameters & { readonly port: number }) | null;
  readonly health: 'healthy' | 'degraded' | 'unreachable' | 'neverConnected';
  readonly load: 'low' | 'medium' | 'high' | 'unknown';
  readonly draining: boolean;
  readonly recommended: boolean;
}

/** AmneziaWG's parameters at a gateway, without its port. */
export interface AmneziaParameters {
  readonly jc: number;
  readonly jmin: number;
  readonly jmax: number;
  readonly s1: number;
  readonly s2: number;
  readonly h1: number;
  readonly h2: number;
  readonly h3: number;
  readonly h4: number;
}

/** How a gateway takes tunnels over TLS, without its port. */
export interface TlsParameters {
  readonly host: string;
  readonly path: string;
  /** Of the certificate, hexadecimal; null: an authority vouches for it. */
  readonly certificateSha256: string | null;
}

export interface ServiceConfiguration {
  readonly device: {
    readonly id: string;
    readonly name: string;
    readonly userName: string;
    readonly ipv4: string;
    readonly ipv6: string;
    /** All but `active` means that it may not connect; `message` says why. */
    readonly standing:
      | 'active'
      | 'awaitingApproval'
      | 'userDisabled'
      | 'userExpired'
      | 'deviceExpired'
      | 'loginRequired'
      | 'trafficUsedUp'
      | 'certificateExpired';
    readonly message: string;
  };
  /** The best first. */
  readonly gateways: ServiceGateway[];
  readonly tunnel: {
    readonly pool4: string;
    readonly pool6: string;
    readonly gateway4: string;
    readonly gateway6: string;
    readonly allowedIps: string[];
    readonly dnsServers: string[];
    readonly searchDomains: string[];
  };
  readonly requirements: {
    readonly killSwitch: boolean;
    readonly regionIds: string[];
    readonly gatewayIds: string[];
  };
  readonly advertised: { prefix: string; approved: boolean }[];
  readonly controlAddresses: string[];
  readonly refreshSeconds: number;
}
