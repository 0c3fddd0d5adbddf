/** Errors as RFC 9457 has them. `code` is stable, for programs; `detail` says what is wrong and what to do. */
import { z } from 'zod';

export const problem = z
  .strictObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    code: z.string(),
    detail: z.string(),
    /** For `invalidRequest`: every fault, with its place in the request. */
    faults: z.array(z.strictObject({ at: z.string(), message: z.string() })).optional(),
    /** For `policyTestFails`: the tests that the change would break. */
    tests: z.array(z.strictObject({ name: z.string(), expected: z.string(), explanation: z.string() })).optional(),
    /** For `secondFactorRequired`: what the user has. */
    methods: z.array(z.enum(['code', 'recoveryCode', 'passkey'])).optional(),
  })
  .meta({ id: 'Problem' });

export type Problem = z.infer<typeof problem>;

/** The codes of problems, with their status and title. */
export const PROBLEMS = {
  invalidRequest: [400, 'The request is faulty'],
  loginRequired: [401, 'Login required'],
  loginFailed: [401, 'Login failed'],
  /** The password is right; send it again with a code. */
  secondFactorRequired: [401, 'A second factor is required'],
  forbidden: [403, 'Not permitted'],
  stepUpRequired: [403, 'Prove that it is you'],
  enrolmentRequired: [403, 'Set up a second factor first'],
  notFound: [404, 'Not found'],
  methodNotAllowed: [405, 'Method not allowed'],
  conflict: [409, 'Conflict'],
  nameTaken: [409, 'The name is taken'],
  policyTestFails: [409, 'A policy test fails'],
  lastAdministrator: [409, 'The last administrator'],
  limitReached: [409, 'A limit is reached'],
  stillUsed: [409, 'Still used'],
  gone: [410, 'No longer valid'],
  versionMismatch: [412, 'It has changed meanwhile'],
  tooLarge: [413, 'The request is too large'],
  unsupportedMediaType: [415, 'Unsupported media type'],
  idempotencyMismatch: [422, 'The idempotency key was used for another request'],
  versionRequired: [428, 'If-Match is required'],
  tooManyRequests: [429, 'Too many requests'],
  internal: [500, 'Internal error'],
  unavailable: [503, 'Not available now'],
} as const satisfies Record<string, readonly [number, string]>;

export type ProblemCode = keyof typeof PROBLEMS;
