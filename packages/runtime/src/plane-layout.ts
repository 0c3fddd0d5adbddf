import { DROP_REASONS, LISTENERS } from '@sallyport/core';
import { Outbound } from '@sallyport/gateway';
import { DatagramBatchReceiver, DatagramSender, FrameWriter, Poller } from '@sallyport/io/packets';
import { COALESCER_SCRATCH_BYTES } from '@sallyport/wire';
import { Gate } from './gate.ts';
import { Ring } from './ring.ts';

/*
 * What the main thread and the workers of one data plane share, as offsets in the arena. The main thread allocates
 * it; workers get the offsets with their start.
 */

export const RING_BYTES = 4 * 1024 * 1024;
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
  readonly frame: number;
  readonly outboundArea: number;
  readonly receiveArea: number;
  readonly coalescer: number;
  readonly writer: number;
  readonly sender: number;
  readonly receiver: number;
  readonly poller: number;
  /** In the order of the plane's protocols. */
  readonly protocols: readonly ProtocolRegions[];
  readonly small: number;
  /** f64s: the counters of drops that are no protocol's, one for each reason. */
  readonly counters: number;
  /** i32s: the worker's sockets for IPv4 and IPv6, of one listener after the other. */
  readonly sockets: number;
}

/** What one worker has for one protocol. */
export interface ProtocolRegions {
  /** To the main thread: a flood of one protocol's datagrams does not keep those of others out. */
  readonly ring: number;
  readonly scratch: number;
  /** f64s: its drop counters, one for each reason. */
  readonly counters: number;
}

export interface PlaneRegions {
  readonly control: number;
  readonly gate: number;
  readonly workers: readonly WorkerRegions[];
}

/** `scratchBytes`: what each protocol needs for itself in each worker. */
export function allocatePlane(
  allocate: (bytes: number) => number,
  workers: number,
  scratchBytes: readonly number[],
): PlaneRegions {
  return {
    control: allocate(CONTROL_BYTES),
    gate: allocate(Gate.bytes(workers)),
    workers: Array.from({ length: workers }, () => ({
      frame: allocate(FRAME_BYTES),
      outboundArea: allocate(Outbound.areaBytes),
      receiveArea: allocate(DatagramBatchReceiver.areaBytes),
      coalescer: allocate(COALESCER_SCRATCH_BYTES),
      writer: allocate(FrameWriter.scratchBytes),
      sender: allocate(DatagramSender.scratchBytes),
      receiver: allocate(DatagramBatchReceiver.scratchBytes),
      poller: allocate(Poller.scratchBytes(3 + 2 * LISTENERS)),
      protocols: scratchBytes.map((bytes) => ({
        ring: allocate(Ring.bytes(RING_BYTES)),
        scratch: allocate(bytes),
        counters: allocate(8 * DROP_REASONS.length),
      })),
      small: allocate(4096),
      counters: allocate(8 * DROP_REASONS.length),
      sockets: allocate(8 * LISTENERS),
    })),
  };
}
