/** What the gateway's end takes from the network at most. Durations in milliseconds. */
export interface CarrierLimits {
  /** Connections, those that are no tunnel yet included. */
  readonly connections: number;
  /** From one IPv4 address, or one IPv6 /64. A house or an office shares one. */
  readonly connectionsPerAddress: number;
  /** From one IPv4 /24, or one IPv6 /48, of which one customer of a network can have all addresses. */
  readonly connectionsPerNetwork: number;
  /** Until TLS is set up, and once more until the request is there. */
  readonly handshakeMs: number;
  /** From a tunnel's first datagram until WireGuard has answered: it answers nobody that it does not know. */
  readonly answerMs: number;
  /**
   * Without a datagram of WireGuard's: what comes from the network is no sign of life, as anybody can send it. A client
   * that is there is answered at least with its new keys, every three minutes.
   */
  readonly idleMs: number;
  /** Between pings, for proxies that close what is silent; who has not answered the last one is gone. */
  readonly pingMs: number;
}

export const CARRIER_LIMITS: CarrierLimits = {
  connections: 2_000,
  connectionsPerAddress: 64,
  connectionsPerNetwork: 256,
  handshakeMs: 10_000,
  answerMs: 10_000,
  idleMs: 300_000,
  pingMs: 25_000,
};
