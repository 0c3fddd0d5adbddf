// A process with a connection in the relays' thread that ends as its argument says, without closing anything.
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { connect } from 'node:net';
import { OpenVpnTcpServer } from '@sallyport/carrier';
import { framed, reset } from './openvpn-rig.ts';

const device = createSocket('udp4').bind(0, '127.0.0.1');
await once(device, 'listening');
const listen = [{ host: '127.0.0.1', port: 0 }];
const server = await OpenVpnTcpServer.bind({ listen, openvpnPort: device.address().port });
server.open();
connect(server.addresses[0]?.port ?? 0, '127.0.0.1').write(framed(reset()));
await once(device, 'message');
if (process.argv[2] === 'exit') process.exit(7);
throw new Error('as asked');
