/**
 * A long line: slow-line-program.ts NAME MILLISECONDS makes the TUN interface NAME and gives every packet that is routed
 * into it back after that time, to be routed on. Prints `ready`.
 */
import { Arena, errno, libc, openTun, Readiness } from '@sallyport/io';

const EAGAIN = 11;
/** A virtio-net header and the largest super-packet. */
const PACKET_BYTES = 12 + 65_536;
const [name = '', milliseconds = ''] = process.argv.slice(2);
const delayMs = Number(milliseconds);

const arena = Arena.create(PACKET_BYTES + 65_536);
const buffer = arena.allocate(PACKET_BYTES);
const readiness = new Readiness(arena, arena.allocate(Readiness.scratchBytes));
const [queue = -1] = openTun(arena, name, 1).queues;

/** In the order of their arrival, which is that of their departure. */
const waiting: { readonly at: number; readonly packet: Uint8Array }[] = [];
let timer: NodeJS.Timeout | undefined;

function depart(): void {
  timer = undefined;
  const now = performance.now();
  let due = 0;
  for (const { at, packet } of waiting) {
    if (at > now) break;
    due++;
    arena.u8.set(packet, buffer);
    libc.write(queue, arena.address + buffer, packet.length);
  }
  waiting.splice(0, due);
  const [next] = waiting;
  if (next !== undefined) timer = setTimeout(depart, Math.max(0, next.at - performance.now()));
}

readiness.add(queue, () => {
  for (;;) {
    const length = libc.read(queue, arena.address + buffer, PACKET_BYTES);
    if (length <= 0) {
      if (length < 0 && errno() !== EAGAIN) throw new Error(`read: errno ${String(errno())}`);
      break;
    }
    waiting.push({ at: performance.now() + delayMs, packet: arena.u8.slice(buffer, buffer + length) });
  }
  timer ??= setTimeout(depart, delayMs);
});
process.stdout.write('ready\n');
