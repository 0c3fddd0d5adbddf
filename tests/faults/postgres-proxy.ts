import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { join } from 'node:path';
import type { PostgresServer } from '@sallyport/netlab';

type Fault = 'none' | 'commit lost' | 'answer lost' | 'crash';

/**
 * Stands between the service and PostgreSQL, and breaks one connection, at a commit, when it is told to. By `crash` the server
 * is to go and come back; who connects meanwhile waits.
 */
export async function proxy({ folder }: PostgresServer) {
  const control = {
    fault: 'none' as Fault,
    broken: 0,
    refuse: false,
    crash: undefined as (() => Promise<void>) | undefined,
  };
  let isBack = Promise.resolve();
  const open = new Set<Socket>();
  const server = createServer((client) => {
    if (control.refuse) {
      client.destroy();
      return;
    }
    client.pause();
    client.on('error', () => undefined);
    void isBack.then(() => relay(client));
  });
  const relay = (client: Socket): void => {
    client.resume();
    const upstream = connect(join(folder, '.s.PGSQL.5432'));
    let dropAnswer = false;
    for (const socket of [client, upstream]) {
      open.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        open.delete(socket);
        client.destroy();
        // What was sent to the server gets there.
        upstream.end();
      });
    }
    client.on('data', (bytes) => {
      if (control.fault !== 'none' && bytes.includes('commit\0')) {
        control.broken += 1;
        const { fault } = control;
        control.fault = 'none';
        if (fault !== 'answer lost') {
          client.destroy();
          if (fault === 'crash') isBack = control.crash?.() ?? isBack;
          return;
        }
        dropAnswer = true;
      }
      upstream.write(bytes);
    });
    upstream.on('data', (bytes) => {
      if (dropAnswer) client.destroy();
      else client.write(bytes);
    });
  };
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    control,
    /** The URL of a database of the server's, by this way. */
    urlOf: (direct: string): string => {
      const url = new URL(direct);
      url.search = '';
      url.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
      return url.href;
    },
    close: () => {
      for (const socket of open) socket.destroy();
      server.close();
    },
  };
}
