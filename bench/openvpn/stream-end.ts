/** Our gateway's end of OpenVPN over TCP, a process of its own as in the service; says that it serves by a line of JSON. */
import { OpenVpnTcpServer } from '@sallyport/carrier';
import { PORT, SERVER_OUTER } from './addresses.ts';

const NOBODY = 65_534;

const server = await OpenVpnTcpServer.bind({ listen: [{ host: SERVER_OUTER, port: PORT }], openvpnPort: PORT });
process.setgroups?.([]);
process.setgid?.(NOBODY);
process.setuid?.(NOBODY);
server.open();
console.log(JSON.stringify(server.addresses));
