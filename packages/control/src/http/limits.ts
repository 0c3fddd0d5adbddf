/** What one client can hold of the server. */

export const MAX_BODY_BYTES = 1024 * 1024;
/** How deep JSON may nest. */
export const MAX_JSON_DEPTH = 32;
/** Faults named in one answer. */
export const MAX_FAULTS = 50;
