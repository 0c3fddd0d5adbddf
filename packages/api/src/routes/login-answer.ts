import { z } from 'zod';
import * as entities from '../entities.ts';
import * as field from '../fields.ts';

/** What is typed may be wrong in any way; only its size is bounded. */
export const typedPassword = z.string().min(1).max(200).meta({ format: 'password' });

export const login = z
  .strictObject({
    /** Null where it was set as a cookie. */
    token: z.string().nullable(),
    /** Shown at the next login, it lets this client try on while others guess passwords; null where set as a cookie. */
    knownClient: z.string().nullable(),
    /** With a cookie: what changes must send as X-CSRF-Token. */
    csrfToken: z.string().nullable(),
    expiresAt: field.time,
    user: entities.user,
  })
  .meta({ id: 'Login' });

export type Login = z.infer<typeof login>;
