export const EXIT_FAILED = 1;
/** Only root may do this; or the control plane refuses this gateway. */
export const EXIT_NOT_PERMITTED = 77;

/** The service can't start, or run on, for a reason that a person can do something about; the message says what. */
export class StartError extends Error {
  readonly exitCode: number;

  constructor(message: string, exitCode: number = EXIT_FAILED, options?: ErrorOptions) {
    super(message, options);
    this.name = 'StartError';
    this.exitCode = exitCode;
  }
}
