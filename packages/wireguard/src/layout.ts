import { PATH_BYTES } from '@sallyport/core';

/*
 * What the packet half and the session half share: a record for every peer and one for every keypair. The
 * session half creates and removes records; the packet half, in any thread, uses them. A record's first word is
 * its lock (see `lock`); the fields below that more than one thread writes are written under it.
 */

export const LOCK = 0;

// --- a peer: its offset in memory is its session id -------------------------------------------------------

/** u32: offsets of the keypairs in the three slots, 0 for none (section 5.4.5 and the Linux driver's noise.c). */
export const PEER_CURRENT = 4;
export const PEER_PREVIOUS = 8;
export const PEER_NEXT = 12;
/** i32: 1 while the session half has this peer's timers in its queue, so that it need not be told of new ones. */
export const PEER_WATCHED = 16;
/** f64: bytes received and sent, as `wg show` counts them: whole messages without their outer headers. */
export const PEER_RECEIVED_BYTES = 24;
export const PEER_SENT_BYTES = 32;
/** f64: when data was first sent that nothing has answered yet, 0 for none. Starts the new-handshake timer. */
export const PEER_DATA_SENT = 40;
/** f64: when data first came that we have sent nothing after, 0 for none. Starts the keepalive timer. */
export const PEER_DATA_RECEIVED = 48;
/** f64: when data last came. */
export const PEER_LAST_DATA_RECEIVED = 56;
/** f64: when an authenticated packet last went either way. Restarts the persistent keepalive. */
export const PEER_LAST_TRAVERSAL = 64;
/** i32: 1 when the packet half has found the current keypair too old or too used and asks for a new one. */
export const PEER_REKEY_WANTED = 72;
/** i32: 1 when a packet came by the next keypair for the first time: the responder's handshake is confirmed. */
export const PEER_CONFIRMED = 76;
/** f64: when an authenticated message last came, handshakes and keepalives too; 0 for never. */
export const PEER_LAST_RECEIVED = 80;
/** A path record: where the peer was last heard from. */
export const PEER_ENDPOINT = 128;
export const PEER_BYTES = PEER_ENDPOINT + PATH_BYTES;

// --- a keypair --------------------------------------------------------------------------------------------

/** u32: the offset of the peer that it belongs to. */
export const KEYPAIR_PEER = 4;
/** u32: our and the peer's receiver index. */
export const KEYPAIR_LOCAL_INDEX = 8;
export const KEYPAIR_REMOTE_INDEX = 12;
/** u32: the next counter to send with, low and high word. */
export const KEYPAIR_COUNTER_LOW = 16;
export const KEYPAIR_COUNTER_HIGH = 20;
/** i32: 1 if we were the initiator of its handshake. */
export const KEYPAIR_IS_INITIATOR = 24;
/** i32: 1 if its handshake was made with an agreed preshared key. */
export const KEYPAIR_IS_AGREED = 28;
/** f64: when it was made. */
export const KEYPAIR_CREATED = 32;
/** 32 bytes each. */
export const KEYPAIR_SEND_KEY = 64;
export const KEYPAIR_RECEIVE_KEY = 96;
/** The replay window's record follows; see `REPLAY_WINDOW`. */
export const KEYPAIR_WINDOW = 128;
