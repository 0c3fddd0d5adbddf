import { ApiError } from './api-error.ts';

export function etagOf(version: number): string {
  return `"${version}"`;
}

/** The version in an If-Match header. Proxies that compress mark an ETag as weak; it names the same version. */
export function versionOf(header: string | undefined): number {
  if (header === undefined) {
    throw new ApiError(
      'versionRequired',
      "Send If-Match with the ETag of the version that you saw, so that nobody else's change is lost.",
    );
  }
  const match = /^(?:W\/)?"(\d{1,15})"$/.exec(header.trim());
  if (match === null) {
    throw new ApiError('invalidRequest', 'If-Match must be one ETag such as "3".', {
      faults: [{ at: '/headers/if-match', message: 'one ETag such as "3"' }],
    });
  }
  return Number(match[1]);
}

/** Throws where a row has another version than the one that a change was made for. */
export function checkVersion(actual: number, ifMatch: number): void {
  if (actual === ifMatch) return;
  throw new ApiError(
    'versionMismatch',
    `Its version is ${actual} now, not ${ifMatch}: get it again, look at what changed, and send your change once more.`,
  );
}
