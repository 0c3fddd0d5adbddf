import type { DaemonError } from '@sallyport/client';

/** What a caller is told: with a code of the protocol, and for people what to do. No secrets. */
export class DaemonFailure extends Error {
  readonly code: DaemonError['code'];

  constructor(code: DaemonError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'DaemonFailure';
    this.code = code;
  }
}

export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
