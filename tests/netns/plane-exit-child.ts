// A process with a data plane that ends as its argument says, without closing it.
import { setTimeout as delay } from 'node:timers/promises';
import { openWireGuardPlane } from '@sallyport/wireguard-plane';
import { enterPrivateNetwork } from './private-network.ts';

enterPrivateNetwork();
const { start } = openWireGuardPlane({ name: 'spt0', workers: 2, onLink: () => undefined });
await start();
// Until the workers have nothing to do.
await delay(300);
if (process.argv[2] === 'exit') process.exit(7);
throw new Error('as asked');
