/** Handshakes with gateways beside the tunnel: which of them answer, by which way, and how soon. */
import type { ClientConfiguration, ClientGateway } from '@sallyport/api';
import { openCarrierClient, type CarrierClient } from '@sallyport/carrier';
import { OUTSIDE_MARK, type Path } from '@sallyport/client';
import { connectFirst } from './network/connect.ts';
import type { HandshakeProber } from './tunnel/handshake-prober.ts';

const MEASURE_TIMEOUT_MS = 1800;
const PROBE_TIMEOUT_MS = 2900;
const AT_ONCE = 16;

/** Round-trip times by gateway, milliseconds; who didn't answer is left out. Ends within two seconds for each sixteen. */
export async function measureGateways(
  prober: HandshakeProber,
  { gateways }: Pick<ClientConfiguration, 'gateways'>,
  paths: readonly Path[],
): Promise<Record<string, number>> {
  const latencies: Record<string, number> = {};
  const left = [...paths];
  const work = async (): Promise<void> => {
    for (let path = left.shift(); path !== undefined; path = left.shift()) {
      const { gatewayId } = path;
      const gateway = gateways.find(({ id }) => id === gatewayId);
      if (gateway === undefined) continue;
      const roundTripMs = await probeGateway(prober, gateway, path, MEASURE_TIMEOUT_MS);
      if (roundTripMs !== undefined) latencies[gatewayId] = Math.min(roundTripMs, latencies[gatewayId] ?? Infinity);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, paths.length) }, work));
  return latencies;
}

/** The round-trip time of a handshake by one way, milliseconds; undefined where it doesn't lead there. */
export async function probeGateway(
  prober: HandshakeProber,
  gateway: ClientGateway,
  path: Path,
  timeoutMs = PROBE_TIMEOUT_MS,
  mark: number = OUTSIDE_MARK,
): Promise<number | undefined> {
  const { wireguardPublicKey: publicKey } = gateway;
  if (path.transport !== 'tls') {
    const variant = path.transport === 'amneziawg' ? (gateway.amneziawg ?? undefined) : undefined;
    return prober.measure({ publicKey, address: path.address, port: path.port, mark, variant, timeoutMs });
  }
  if (gateway.tls === null) return undefined;
  let carrier: CarrierClient | undefined;
  try {
    const end = performance.now() + timeoutMs;
    carrier = await openCarrierClient({
      socket: await connectFirst([path.address], path.port, timeoutMs, mark),
      host: gateway.tls.host,
      port: path.port,
      path: gateway.tls.path,
      certificateSha256: gateway.tls.certificateSha256,
      wireguardPort: 0,
      timeoutMs,
      onClose: () => undefined,
    });
    const rest = Math.max(200, end - performance.now());
    const relay = { address: '127.0.0.1', port: carrier.port, mark: 0 };
    return await prober.measure({ publicKey, ...relay, variant: undefined, timeoutMs: rest });
  } catch {
    return undefined;
  } finally {
    carrier?.close();
  }
}
