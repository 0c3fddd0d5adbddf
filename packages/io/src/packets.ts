/** What a worker of the data plane needs: memory, datagrams, frames and ciphers, without set-up and Linux's programs. */
export * from './arena.ts';
export * from './clock.ts';
export * from './datagram-batch-receiver.ts';
export * from './datagram-io.ts';
export * from './epoll.ts';
export * from './event.ts';
export * from './frame-writer.ts';
export * from './libc.ts';
export * from './link-monitor.ts';
export * from './linux/scheduling.ts';
export * from './moderation.ts';
export * from './openssl/data-cipher.ts';
export * from './openssl/packet-cipher.ts';
export * from './piece-writer.ts';
export * from './poller.ts';
