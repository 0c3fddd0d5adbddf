/** What a fault of the database means to who asked. */
import { ApiError } from '../http/api-error.ts';

/** The database does not serve now, and this says so to the caller; the fault itself is its `cause`. */
export function unavailable(detail: string, cause: unknown, retryAfter = 2): ApiError {
  const error = new ApiError('unavailable', detail, { retryAfter });
  error.cause = cause;
  return error;
}

/** PostgreSQL ended the transaction because of others (a deadlock, say); it can be tried again as a whole. */
const conflicts = new Set(['40001', '40P01']);

/** PostgreSQL: shutting down, starting up, crashed, out of connections, ended for having been idle in a transaction. */
const lostStates = new Set(['57P01', '57P02', '57P03', '53300', '25P03']);

/** PostgreSQL: memory or disk used up, a lock or an answer not in time, a server that only reads. */
const unavailableStates = /^(53|25006|55P03|57014)/;

const lostCodes = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'EPIPE',
  'ETIMEDOUT',
  'ENOENT',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOTFOUND',
  'EAI_AGAIN',
]);

/** The client library has no codes for these. */
const lostMessages = /connection terminated|timeout exceeded when trying to connect|not queryable|client was closed/i;

/** SQLite's primary result codes (sqlite.org/rescode.html): BUSY, LOCKED, NOMEM, READONLY, IOERR, FULL, CANTOPEN. */
const unavailableResults = new Set([5, 6, 7, 8, 10, 13, 14]);

type Fault = Error & { readonly code?: unknown; readonly errcode?: unknown };

/** The connection to PostgreSQL is gone, or never came to be. */
export function isConnectionLost(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  const code = (error as Fault).code;
  if (typeof code === 'string' && (lostCodes.has(code) || lostStates.has(code) || code.startsWith('08'))) return true;
  return code === undefined && lostMessages.test(error.message);
}

/** The transaction was undone and may go well when it is done again. */
export function isTransient(error: unknown): boolean {
  const fault = causeOf(error);
  return isConnectionLost(fault) || conflicts.has((fault as { code?: string } | undefined)?.code ?? '');
}

/** PostgreSQL gave no answer in time: what it was asked to do may be done yet. */
export function isUnanswered(error: unknown): boolean {
  return isReadTimeout(causeOf(error));
}

/** The client library has no code for it. */
function isReadTimeout(error: unknown): boolean {
  return error instanceof Error && (error as Fault).code === undefined && error.message === 'Query read timeout';
}

/** PostgreSQL: no transaction has had this number yet; the one that had was lost in a crash. */
export function isOfTheFuture(error: unknown): boolean {
  return (causeOf(error) as { code?: string } | undefined)?.code === '22023';
}

/** Whether a unique constraint refused what was written. */
export function isUniqueViolation(error: unknown): boolean {
  const { code, errcode } = (causeOf(error) ?? {}) as Fault;
  // SQLITE_CONSTRAINT_UNIQUE and SQLITE_CONSTRAINT_PRIMARYKEY.
  return code === '23505' || errcode === 2067 || errcode === 1555;
}

export function translatePostgresError(error: unknown): unknown {
  if (isConnectionLost(error)) return unavailable('The database cannot be reached now', error);
  const code = (error as Fault | undefined)?.code;
  if (typeof code === 'string' && (unavailableStates.test(code) || conflicts.has(code))) {
    return unavailable('The database cannot do this now', error);
  }
  if (isReadTimeout(error)) {
    return unavailable('The database does not answer', error);
  }
  return error;
}

export function translateSqliteError(error: unknown): unknown {
  const errcode = (error as Fault | undefined)?.errcode;
  if (typeof errcode !== 'number' || !unavailableResults.has(errcode & 0xff)) return error;
  return unavailable(
    (errcode & 0xff) === 13 ? 'The disk of the database is full' : 'The database cannot do this now',
    error,
  );
}

function causeOf(error: unknown): unknown {
  return error instanceof ApiError && error.code === 'unavailable' ? error.cause : error;
}
