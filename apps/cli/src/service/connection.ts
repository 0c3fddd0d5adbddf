import { readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { ApiClient, ApiProblem, ApiUnreachable, type RouteContract } from '@sallyport/api';
import { CommandFailure, EXIT_FAILED, EXIT_NOT_PERMITTED, EXIT_NO_INPUT, EXIT_UNAVAILABLE } from '../command.ts';
import { readCredentials } from './credentials.ts';
import { fieldsOf } from './fields.ts';

/** The service, as commands call it. Problems come as CommandFailure with what to do. */
export interface Connection {
  call(
    contract: RouteContract,
    input: {
      readonly params?: unknown;
      readonly query?: unknown;
      readonly body?: unknown;
      readonly ifMatch?: number | undefined;
    },
  ): Promise<unknown>;
}

export const USER_AGENT = 'sallyport-cli';

/** What this client calls itself in the list of sessions. */
export function clientName(): string {
  return `${userInfo().username}@${hostname()}`.slice(0, 100);
}

/**
 * The service that SALLYPORT_URL and SALLYPORT_TOKEN_FILE name (with SALLYPORT_FINGERPRINT for a certificate that no
 * authority signed), otherwise that of the last `sallyport login`.
 */
export function connect(): Promise<Connection> {
  const url = process.env['SALLYPORT_URL'];
  const tokenFile = process.env['SALLYPORT_TOKEN_FILE'];
  if (url !== undefined && tokenFile !== undefined) {
    const token = readFileSync(tokenFile, 'utf8').trim();
    return Promise.resolve(
      connectionTo(
        new ApiClient({ url, token, certificateSha256: process.env['SALLYPORT_FINGERPRINT'], userAgent: USER_AGENT }),
      ),
    );
  }
  const credentials = readCredentials();
  if (credentials === undefined)
    throw new CommandFailure(
      EXIT_NO_INPUT,
      'nobody is logged in here; run: sallyport login URL --user NAME (or set SALLYPORT_URL and SALLYPORT_TOKEN_FILE)',
    );
  const { token, fingerprint } = credentials;
  return Promise.resolve(
    connectionTo(new ApiClient({ url: credentials.url, token, certificateSha256: fingerprint, userAgent: USER_AGENT })),
  );
}

export function connectionTo(client: ApiClient): Connection {
  return {
    async call(contract, input) {
      try {
        const body = contract.body === undefined ? undefined : (input.body ?? {});
        return await client.callUntyped(contract, { ...input, body });
      } catch (error) {
        throw failureOf(error, contract);
      }
    },
  };
}

function failureOf(error: unknown, contract: RouteContract): unknown {
  if (error instanceof ApiUnreachable) return new CommandFailure(EXIT_UNAVAILABLE, error.message, { cause: error });
  if (!(error instanceof ApiProblem)) return error;
  const { code, title, detail, faults, tests } = error.problem;
  const lines = [
    ...(faults === undefined || faults.length === 0
      ? [`${title}${detail === '' ? '' : `: ${detail}`}`]
      : [`${title}:`]),
    ...(faults ?? []).map(({ at, message }) => `  ${placeOf(at, contract)}: ${message}`),
    ...(tests ?? []).map(({ name, expected, explanation }) => `  test "${name}" expects ${expected}: ${explanation}`),
    ...(code === 'loginRequired' ? ['Log in again: sallyport login URL --user NAME'] : []),
    ...(code === 'versionMismatch' ? ['Somebody changed it meanwhile: look at it and try again.'] : []),
    ...(error.retryAfter === undefined ? [] : [`Try again in ${String(error.retryAfter)} seconds.`]),
  ];
  const denied = code === 'loginRequired' || code === 'loginFailed' || code === 'forbidden';
  return new CommandFailure(denied ? EXIT_NOT_PERMITTED : EXIT_FAILED, lines.join('\n'), { cause: error });
}

/** The option or argument that a fault is about: `/body/groups/0` is `--groups, item 1`. What is none stays a JSON pointer. */
function placeOf(at: string, contract: RouteContract): string {
  const [place, ...path] = at.split('/').slice(1);
  const field = fieldsOf(contract).find(
    (one) => one.place === place && !one.secret && one.path.every((name, index) => name === path[index]),
  );
  if (field === undefined) return at;
  const isPositional = contract.command?.positional?.includes(field.path.join('.')) === true;
  const option = isPositional ? field.option.replace(/-id$/, '').toUpperCase() : `--${field.option}`;
  const rest = path.slice(field.path.length);
  if (rest.length === 0) return option;
  return rest.length === 1 && field.kind === 'list' ? `${option}, item ${String(Number(rest[0]) + 1)}` : at;
}
