import { DROP_REASONS } from '@sallyport/core';
import { Outbound } from '@sallyport/gateway';
import { DatagramReceiver, DatagramSender, FrameWriter, Poller } from '@sallyport/io';
import { Gate } from './gate.ts';
import { Ring } from './ring.ts';

/*
 * What the main thread and the workers of one data plane share, as offsets in the arena. The main thread allocates
 * it; workers get the offsets with their start.
 */

export const RING_BYTES = 4 * 1024 * 1024;
/** Receive area: as many trains of 64 KiB as are received before the packets in them are written to TUN. */
export const RECEIVE_TRAINS = 8;
export const TRAIN_BYTES = 65_536;
/** A frame as TUN gives it: 10 bytes of virtio-net header and 65,535 of packet; read at +6 to align the packet. */
export const FRAME_BYTES = 65_536 + 64;
export const FRAME_OFFSET = 6;

// The control block that the main thread writes and workers read at the start of each batch.
/** i32: changes with every other field below. */
export const CONTROL_GENERATION = 0;
export const CONTROL_MTU = 4;
/** i32: 1 when workers have to end. */
export const CONTROL_STOP = 8;
/** i32: what rings the main thread: workers add 1 and notify. */
export const CONTROL_DOORBELL = 12;
/** i32: what the link monitor has seen (link-monitor.ts): the main thread looks at the interface again. */
export const CONTROL_LINK = 16;
export const CONTROL_BYTES = 64;

/** Offsets of what one worker owns. */
export interface WorkerRegions {
  readonly ring: number;
  readonly frame: number;
  readonly outboundArea: number;
  readonly receiveArea: number;
  readonly path: number;
  readonly coalescer: number;
  readonly writer: number;
  readonly sender: number;
  readonly receiver: number;
  readonly poller: number;
  readonly aead: number;
  readonly protocol: number;
  readonly small: number;
  /** f64s: the drop counters, one for each reason. */
  readonly counters: number;
  /** i32s: the worker's sockets for IPv4 and IPv6, of the first listener and of the second. */
  readonly sockets: number;
}

export interface PlaneRegions {
  readonly control: number;
  readonly gate: number;
  readonly workers: readonly WorkerRegions[];
}

export function allocatePlane(
  allocate: (bytes: number) => number,
  workers: number,
  sizes: { coalescer: number; aead: number; protocol: number },
): PlaneRegions {
  return {
    control: allocate(CONTROL_BYTES),
    gate: allocate(Gate.bytes(workers)),
    workers: Array.from({ length: workers }, () => ({
      ring: allocate(Ring.bytes(RING_BYTES)),
      frame: allocate(FRAME_BYTES),
      outboundArea: allocate(Outbound.areaBytes),
      receiveArea: allocate(RECEIVE_TRAINS * TRAIN_BYTES),
      path: allocate(64),
      coalescer: allocate(sizes.coalescer),
      writer: allocate(FrameWriter.scratchBytes),
      sender: allocate(DatagramSender.scratchBytes),
      receiver: allocate(DatagramReceiver.scratchBytes),
      poller: allocate(Poller.scratchBytes(8)),
      aead: allocate(sizes.aead),
      protocol: allocate(sizes.protocol),
      small: allocate(4096),
      counters: allocate(8 * DROP_REASONS.length),
      sockets: allocate(16),
    })),
  };
}
