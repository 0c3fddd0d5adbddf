import { z } from 'zod';

/**
 * Words of a process that parses what comes from the network, for an operator's terminal and log: what would be a command
 * to a terminal is left out. Lines may end.
 */
export function plainText(maxLength: number) {
  return z
    .string()
    .max(maxLength)
    .transform((text) => text.replace(/[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g, '?'));
}
