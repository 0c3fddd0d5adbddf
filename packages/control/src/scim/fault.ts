/** Errors in the form of SCIM (RFC 7644, 3.12). */
import { PROBLEMS } from '@sallyport/api';
import { ApiError } from '../http/api-error.ts';

export type ScimType =
  | 'invalidFilter'
  | 'tooMany'
  | 'uniqueness'
  | 'mutability'
  | 'invalidSyntax'
  | 'invalidPath'
  | 'noTarget'
  | 'invalidValue';

export const ERROR_URN = 'urn:ietf:params:scim:api:messages:2.0:Error';
export const SCIM_JSON = 'application/scim+json';

/** Says what is wrong with a request; `detail` is for who administers the client, and holds no secret. */
export class ScimFault extends Error {
  readonly status: number;
  readonly scimType: ScimType | undefined;

  constructor(status: number, scimType: ScimType | undefined, detail: string) {
    super(detail);
    this.name = 'ScimFault';
    this.status = status;
    this.scimType = scimType;
  }
}

/** The fault of a value, with its place: `emails.value`. */
export function invalidValue(at: string, message: string): ScimFault {
  return new ScimFault(400, 'invalidValue', `${at}: ${message}`);
}

export function scimErrorAnswer(
  error: unknown,
  headers: Readonly<Record<string, string>>,
  requestId: string,
): Response {
  const fault = faultOf(error, requestId);
  const retryAfter = error instanceof ApiError ? error.retryAfter : undefined;
  return new Response(
    JSON.stringify({
      schemas: [ERROR_URN],
      status: String(fault.status),
      ...(fault.scimType === undefined ? {} : { scimType: fault.scimType }),
      detail: fault.message,
    }),
    {
      status: fault.status,
      headers: {
        ...headers,
        'content-type': SCIM_JSON,
        ...(retryAfter === undefined ? {} : { 'retry-after': String(Math.max(1, Math.ceil(retryAfter))) }),
        ...(fault.status === 401 ? { 'www-authenticate': 'Bearer realm="sallyport"' } : {}),
        // The rest of a body that was refused is not read.
        ...(fault.status === 413 ? { connection: 'close' } : {}),
      },
    },
  );
}

function faultOf(error: unknown, requestId: string): ScimFault {
  if (error instanceof ScimFault) return error;
  if (!(error instanceof ApiError)) {
    return new ScimFault(
      500,
      undefined,
      `Something went wrong here; the log has its cause under request ${requestId}.`,
    );
  }
  const faults = (error.more.faults ?? []).map(({ at, message }) => ` (${at}: ${message})`).join('');
  const scimType =
    error.code === 'invalidRequest' ? 'invalidSyntax' : error.code === 'nameTaken' ? 'uniqueness' : undefined;
  return new ScimFault(PROBLEMS[error.code][0], scimType, error.detail + faults);
}
