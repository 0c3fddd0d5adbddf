import type { Socket } from 'node:net';
import type { Traffic } from './relay.ts';
import { StreamRelay } from './stream-relay.ts';

export interface OpenVpnTcpClientOptions {
  /** To the server, open. It is closed with the relay. */
  readonly socket: Socket;
  /** Where our own client listens on 127.0.0.1; 0: whoever sends first. */
  readonly openvpnPort: number;
  /** Once, where the connection ends by itself. */
  readonly onClose: (reason: string) => void;
}

export interface OpenVpnTcpClient {
  /** The server's address for the client: 127.0.0.1 and this port. */
  readonly port: number;
  /** Live numbers. */
  readonly stats: { readonly toServer: Readonly<Traffic>; readonly fromServer: Readonly<Traffic> };
  close(): void;
}

const LOOPBACK = 0x7f000001;

/** The client's end of OpenVPN over TCP. Throws a SystemCallError, and leaves the socket to the caller then. */
export function openOpenVpnTcpClient({ socket, openvpnPort, onClose }: OpenVpnTcpClientOptions): OpenVpnTcpClient {
  let closed = false;
  socket.setNoDelay(true);
  const relay = new StreamRelay(socket, {
    localAddress: LOOPBACK,
    openvpnPort,
    onClose: (reason) => {
      if (!closed) onClose(reason);
    },
  });
  return {
    port: relay.port,
    stats: { toServer: relay.outbound, fromServer: relay.inbound },
    close: () => {
      closed = true;
      relay.close('closed');
    },
  };
}
