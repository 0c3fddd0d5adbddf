import type { Socket } from 'node:net';
import { LOOPBACK } from './loopback-socket.ts';
import { StreamRelays } from './stream-relays.ts';

export interface OpenVpnTcpClientOptions {
  /** To the server, open. The connection is taken out of it, and the socket closed. */
  readonly socket: Socket;
  /** Where our own client listens on 127.0.0.1. */
  readonly openvpnPort: number;
  /** Once, where the connection ends by itself. */
  readonly onClose: (reason: string) => void;
}

export interface OpenVpnTcpClient {
  /** The server's address for the client: 127.0.0.1 and this port. */
  readonly port: number;
  close(): void;
}

/** More than end at the same time. */
const CONNECTIONS = 8;

/** Its thread serves whatever connections follow. */
let relays: StreamRelays | undefined;

/** The client's end of OpenVPN over TCP. Throws a SystemCallError, and leaves the socket to the caller then. */
export function openOpenVpnTcpClient({ socket, openvpnPort, onClose }: OpenVpnTcpClientOptions): OpenVpnTcpClient {
  let closed = false;
  socket.setNoDelay(true);
  relays ??= new StreamRelays(CONNECTIONS, () => {
    relays = undefined;
  });
  const relay = relays.open(socket, new Uint8Array(0), {
    localAddress: LOOPBACK,
    openvpnPort,
    onClose: (reason) => {
      if (!closed) onClose(reason);
    },
  });
  return {
    port: relay.port,
    close: () => {
      closed = true;
      relay.close('closed');
    },
  };
}
