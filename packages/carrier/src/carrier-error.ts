/** The tunnel over TLS can't be opened. */
export class CarrierError extends Error {
  /**
   * `certificate`: somebody else answers, or its certificate isn't one that an authority vouches for. `refused`: a web
   * server answers, but has no tunnel there. `connection`: TCP, TLS or HTTP failed.
   */
  readonly code: 'timeout' | 'certificate' | 'refused' | 'connection' | 'proxy' | 'aborted';

  constructor(code: CarrierError['code'], message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'CarrierError';
    this.code = code;
  }
}
