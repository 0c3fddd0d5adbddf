import { PATH_BYTES, ReplayWindow } from '@sallyport/core';

/*
 * What packet half and session half share: a record for every session, one for every key, and a second one for a key
 * that has epochs. The session half creates and removes them; the packet half, in any thread, uses them. A record's
 * first word is its lock; the fields below that more than one thread writes are written under it.
 */

export const LOCK = 0;

// --- a session: its offset in memory is its session id -----------------------------------------------------

/** u32: what datagrams of both directions name it by. */
export const SESSION_PEER_ID = 4;
/** u32: the key that packets are sealed with, 0 for none. */
export const SESSION_SENDING_KEY = 8;
/** u32: the format of all its keys. */
export const SESSION_FORMAT = 12;
/** i32: 1 while the session half has been asked to look at the session and has not done so yet. */
export const SESSION_ATTENDED = 16;
/** i32: 1 where there is something to look at. */
export const SESSION_WANTED = 20;
/** u32: which of the two addresses it has, HAS_IPV4 and HAS_IPV6. */
export const SESSION_ADDRESSES = 24;
export const HAS_IPV4 = 1;
export const HAS_IPV6 = 2;
/** i32, and four of them: the words of its addresses as read in network order. */
export const SESSION_IPV4 = 28;
export const SESSION_IPV6 = 32;
/** f64: bytes received and sent. */
export const SESSION_RECEIVED_BYTES = 48;
export const SESSION_SENT_BYTES = 56;
/** f64: when an authenticated packet last came, and when one was last sealed. */
export const SESSION_LAST_RECEIVED = 64;
export const SESSION_LAST_SENT = 72;
/** u32: the keys by key id, 0 for none. */
export const SESSION_KEYS = 80;
export const KEY_IDS = 8;
/** f64: until when its epochs are not taken on again. The session half's alone. */
export const SESSION_EPOCHS_HELD = 112;
/** A path record: where the peer was last heard from. */
export const SESSION_PATH = 128;
export const SESSION_BYTES = SESSION_PATH + PATH_BYTES;

// --- a key ---------------------------------------------------------------------------------------------------

/** u32: the session that it belongs to, its key id and cipher, and the record of its epochs, 0 where it has none. */
export const KEY_SESSION = 4;
export const KEY_ID = 8;
export const KEY_CIPHER = 12;
export const KEY_EPOCHS = 16;
/** i32: 1 when a datagram was opened with it. */
export const KEY_HEARD = 20;
/** i32: 1 when it is nearly used up. */
export const KEY_WORN = 24;
/** u32: the epoch that is sent by. */
export const KEY_SENDING_EPOCH = 28;
/** f64: packets sealed with it, or with its epoch: the last packet id. Under the session's lock, as the next. */
export const KEY_SENT = 32;
/** f64: what was sealed, as the limit counts it. */
export const KEY_SENDING_USE = 40;
/** f64: what was opened, and datagrams that did not open. Under the key's lock. */
export const KEY_RECEIVING_USE = 48;
export const KEY_FAILURES = 56;
/** A {@link SECRET_BYTES} secret for each direction; with epochs only the first is used. */
export const KEY_SENDING = 64;
export const KEY_RECEIVING = 128;
/** Of a key, or of an epoch. */
export const REPLAY_WINDOW = new ReplayWindow(8192);
/** A replay window's record. */
export const KEY_WINDOW = 192;
export const KEY_BYTES = (KEY_WINDOW + REPLAY_WINDOW.bytes + 63) & -64;

/** 32 bytes of key, then the implicit IV (8 bytes; 12 with epochs), or 32 bytes of key for the HMAC. */
export const SECRET_BYTES = 64;
export const SECRET_IV = 32;

// --- a key's epochs --------------------------------------------------------------------------------------------

/** u32: the epoch that was received last, and the one before it, 0 for none. Under the key's lock. */
export const EPOCHS_CURRENT = 0;
export const EPOCHS_PREVIOUS = 4;
/** u32: 0 where the key's own window is the current epoch's, 1 where this record's is. */
export const EPOCHS_WINDOW_USED = 8;
/** u32: the last epoch that keys to receive with were derived for. */
export const EPOCHS_LAST = 12;
/** 32 bytes each: the secrets of the sending epoch and of the last receiving one. */
export const EPOCHS_SENDING_SECRET = 64;
export const EPOCHS_RECEIVING_SECRET = 96;
/** Keys to receive with: the previous epoch's, the current one's and {@link FUTURE_EPOCHS} more, in any order. */
export const EPOCHS_SLOTS = 128;
export const FUTURE_EPOCHS = 4;
export const MAX_EPOCH = 0xffff;
export const EPOCH_SLOTS = 2 + FUTURE_EPOCHS;
/** A slot is a secret; its last word is its epoch, 0 where it is free. */
export const SLOT_EPOCH = SECRET_BYTES - 4;
export const EPOCHS_WINDOW = EPOCHS_SLOTS + EPOCH_SLOTS * SECRET_BYTES;
export const EPOCHS_BYTES = (EPOCHS_WINDOW + REPLAY_WINDOW.bytes + 63) & -64;
