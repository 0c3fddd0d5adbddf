/** A gateway's end by itself (argv: WireGuard's port), until its standard input ends. Prints its port and its certificate's hash. */
import { CarrierServer } from '@sallyport/carrier';
import { CERTIFICATE, FINGERPRINT, PATH } from './rig.ts';

const listen = [{ host: '127.0.0.1', port: 0 }];
const server = await CarrierServer.bind({ listen, wireguardPort: Number(process.argv[2]) });
server.open(PATH, CERTIFICATE);
process.stdout.write(`${String(server.addresses[0]?.port)} ${FINGERPRINT}`);
process.stdin.resume().on('end', () => process.exit(0));
