import { Buffer } from 'node:buffer';
import type { Socket } from 'node:net';
import { CarrierError } from './carrier-error.ts';

const MAX_ANSWER_BYTES = 16 * 1024;
const END = '\r\n\r\n';

/**
 * Has an HTTP proxy lead the connection on to `authority` (RFC 9110 section 9.3.6). Rejects with a {@link CarrierError}.
 */
export function connectThroughProxy(socket: Socket, authority: string, authorization?: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let answer = Buffer.alloc(0);
    const settle = (error?: CarrierError): void => {
      socket.off('data', onData).off('close', onClose);
      socket.pause();
      if (error === undefined) resolve();
      else reject(error);
    };
    const onClose = (): void => {
      settle(new CarrierError('proxy', 'the proxy closed the connection'));
    };
    const onData = (chunk: Buffer): void => {
      answer = Buffer.concat([answer, chunk]);
      const end = answer.indexOf(END);
      if (end < 0) {
        if (answer.length > MAX_ANSWER_BYTES) settle(new CarrierError('proxy', 'the proxy does not speak HTTP'));
        return;
      }
      const status = /^HTTP\/1\.[01] (\d{3})[ \r]/.exec(answer.toString('latin1', 0, end + 2))?.[1];
      if (status?.startsWith('2') !== true)
        settle(
          new CarrierError(
            'proxy',
            status === undefined ? 'the proxy does not speak HTTP' : `the proxy answered ${status}`,
          ),
        );
      // TLS begins with the client: what comes before it said anything is not the gateway's.
      else if (answer.length > end + END.length)
        settle(new CarrierError('proxy', 'the proxy sent more than its answer'));
      else settle();
    };
    socket.on('data', onData).once('close', onClose);
    const credentials = authorization === undefined ? '' : `Proxy-Authorization: ${authorization}\r\n`;
    socket.write(`CONNECT ${authority} HTTP/1.1\r\nHost: ${authority}\r\n${credentials}\r\n`);
  });
}
