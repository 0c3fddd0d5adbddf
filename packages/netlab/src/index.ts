export { Capture, type CaptureResult } from './capture.ts';
export { iperf, type IperfOptions, type IperfResult, type IperfRoute } from './iperf.ts';
export { Laboratory, LaboratoryClosed, withLaboratory, type RunOptions, type RunResult } from './laboratory.ts';
export { NetworkNamespace, wire, type WireEnd } from './namespace.ts';
export { dissect, protocolIcmpv6, protocolUdp, readPcap, type CapturedPacket, type Dissection } from './pcap.ts';
export { parsePing, ping, pingSteadily, type PingOptions, type PingResult } from './ping.ts';
export { PostgresServer } from './postgres-server.ts';
export {
  CommandError,
  describeExit,
  PATIENCE_MS,
  Process,
  until,
  upTo,
  type Program,
  type StartOptions,
} from './process.ts';
export { cpuSeconds, residentBytes } from './process-tree.ts';
export { sallyportDevice, wireguardGo } from './programs.ts';
export {
  formatConfiguration,
  formatUapiSet,
  generateKeys,
  generatePresharedKey,
  WireGuardDevice,
  type WireGuardConfiguration,
  type WireGuardKeys,
  type WireGuardPeerConfiguration,
  type WireGuardPeerStatus,
} from './wireguard-device.ts';
