/**
 * A name server on port 53: any name's IPv4 address is the destination's. Prints `ready`, and then a line for each
 * question: who asked, and for which name.
 */
import { createSocket } from 'node:dgram';
import { WEB } from './world.ts';

const HEADER_BYTES = 12;

/** RFC 1035, section 4.1: the question is copied, with one answer behind it that points to its name. */
function answer(question: Buffer): { readonly name: string; readonly response: Buffer } | undefined {
  const labels: string[] = [];
  let at = HEADER_BYTES;
  for (let length = question[at] ?? 0; length > 0; length = question[at] ?? 0) {
    labels.push(question.toString('latin1', at + 1, at + 1 + length));
    at += 1 + length;
  }
  const end = at + 5;
  if (end > question.length) return undefined;
  const isAddress = question.readUInt16BE(at + 1) === 1;
  const header = Buffer.from(question.subarray(0, HEADER_BYTES));
  header.writeUInt16BE(0x8580, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(isAddress ? 1 : 0, 6);
  header.writeUInt32BE(0, 8);
  const record = [0xc0, HEADER_BYTES, 0, 1, 0, 1, 0, 0, 0, 5, 0, 4, ...WEB.ipv4.split('.').map(Number)];
  const response = Buffer.concat([header, question.subarray(HEADER_BYTES, end), Buffer.from(isAddress ? record : [])]);
  return { name: labels.join('.'), response };
}

const server = createSocket('udp6');
server.on('message', (question, { address, port }) => {
  const made = answer(question);
  if (made === undefined) return;
  process.stdout.write(`${address.replace('::ffff:', '')} ${made.name}\n`);
  server.send(made.response, port, address);
});
server.bind(53, '::', () => process.stdout.write('ready\n'));
