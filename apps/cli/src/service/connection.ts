import { readFileSync } from 'node:fs';
import { hostname, userInfo } from 'node:os';
import { ApiClient, ApiProblem, ApiUnreachable, routes, type RouteContract } from '@sallyport/api';
import { CommandFailure, EXIT_FAILED, EXIT_NOT_PERMITTED, EXIT_NO_INPUT, EXIT_UNAVAILABLE, tell } from '../command.ts';
import { readCredentials } from './credentials.ts';
import { fieldsOf } from './fields.ts';
import { askSecret } from './prompt.ts';

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
        return await client.callUntyped(contract, { ...input, body }).catch(async (error: unknown) => {
          if (problemCode(error) !== 'stepUpRequired' || !process.stdin.isTTY) throw error;
          await proveOneself(client);
          return client.callUntyped(contract, { ...input, body });
        });
      } catch (error) {
        throw failureOf(error, contract);
      }
    },
  };
}

/** Asks for what proves again who sits at the terminal. */
async function proveOneself(client: ApiClient): Promise<void> {
  const { password, code } = await client.call(routes.beginStepUp);
  if (!password && !code) {
    throw new CommandFailure(
      EXIT_NOT_PERMITTED,
      'this needs a proof that it is you, which you can give in a browser only (passkey, identity provider): do it in the ' +
        'console, or use an API token (SALLYPORT_URL and SALLYPORT_TOKEN_FILE)',
    );
  }
  tell('this needs a proof that it is you');
  await client.call(routes.stepUp, {
    body: {
      ...(password ? { password: await askSecret('Password') } : {}),
      ...(code ? { code: await askSecret(CODE_QUESTION) } : {}),
    },
  });
}

export const CODE_QUESTION = 'Code of the authenticator app, or a recovery code';

/** The code of the API's problem that an error is, or that led to it. */
export function problemCode(error: unknown): string | undefined {
  if (error instanceof ApiProblem) return error.problem.code;
  return error instanceof CommandFailure ? problemCode(error.cause) : undefined;
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
    ...(code === 'stepUpRequired' ? ['Run it at a terminal, which asks for the proof, or with an API token.'] : []),
    ...(code === 'versionMismatch' ? ['Somebody changed it meanwhile: look at it and try again.'] : []),
    ...(error.retryAfter === undefined ? [] : [`Try again in ${String(error.retryAfter)} seconds.`]),
  ];
  return new CommandFailure(DENIED.includes(code) ? EXIT_NOT_PERMITTED : EXIT_FAILED, lines.join('\n'), {
    cause: error,
  });
}

const DENIED = [
  'loginRequired',
  'loginFailed',
  'secondFactorRequired',
  'stepUpRequired',
  'enrolmentRequired',
  'forbidden',
];

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
