import { ApiError } from '../http/api-error.ts';
import type { IncomingRequest } from '../http/api.ts';

/**
 * Throws unless a browser says that its request comes from a page of this service. Browsers send cookies whichever page
 * asks, and SameSite counts the neighbours below one domain as the same site.
 */
export function requireSameOrigin(request: IncomingRequest, publicUrl: string): void {
  const site = request.header('sec-fetch-site');
  const origin = request.header('origin');
  const sameSite = site === undefined || site === 'same-origin';
  const sameOrigin = origin === undefined || isOwn(origin, request, publicUrl);
  if (sameSite && sameOrigin && (site !== undefined || origin !== undefined)) return;
  throw new ApiError('forbidden', 'This change was sent by a page of another origin, or by no page.');
}

function isOwn(origin: string, request: IncomingRequest, publicUrl: string): boolean {
  if (origin === new URL(publicUrl).origin) return true;
  const host = request.header('host');
  return host !== undefined && origin === `${request.client.secure ? 'https' : 'http'}://${host.toLowerCase()}`;
}
