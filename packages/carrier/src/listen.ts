import type { Server } from 'node:net';

export interface CarrierAddress {
  readonly host: string;
  readonly port: number;
}

/** Connections that the kernel takes before the process has seen them. */
export const BACKLOG = 1024;

/** Takes an address. Rejects with Node's errors of listening. */
export function listen(server: Server, address: CarrierAddress | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    // Else [::] would take IPv4's port too.
    server.listen({ ...address, ipv6Only: address?.host.includes(':') === true, backlog: BACKLOG }, () => {
      server.off('error', reject);
      resolve();
    });
  });
}

/** Takes each address that this machine can have, and returns those servers: without IPv6 there is no [::]. */
export async function listenAll<S extends Server>(
  servers: readonly S[],
  addresses: readonly CarrierAddress[],
): Promise<S[]> {
  const listening: S[] = [];
  for (const [i, server] of servers.entries()) {
    try {
      await listen(server, addresses[i]);
      listening.push(server);
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      const lacksIpv6 = addresses[i]?.host === '::' && (code === 'EAFNOSUPPORT' || code === 'EADDRNOTAVAIL');
      if (!lacksIpv6 || addresses.length === 1) throw error;
    }
  }
  return listening;
}

export function addressOf(server: Server): CarrierAddress {
  const address = server.address();
  return typeof address === 'object' && address !== null
    ? { host: address.address, port: address.port }
    : { host: '', port: 0 };
}
