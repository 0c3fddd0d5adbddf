export type LinkFault =
  /** The other side ended the connection, or the network did. */
  | 'disconnected'
  /** Nothing was heard for too long. */
  | 'silent'
  /** It does not read what it is sent. */
  | 'notReading'
  | 'frameTooLong'
  | 'invalidMessage'
  /** What this side did with a message failed. */
  | 'handlerFailed'
  /** The address can't be reached, or it answered with something else than the link. */
  | 'unreachable'
  | 'notALink'
  | 'handshakeFailed'
  /** The other side's key is not the expected one. */
  | 'wrongKey'
  /** This side gave up: it was told to stop. */
  | 'aborted';

/** Why a link was not opened, or ended. */
export class LinkError extends Error {
  readonly code: LinkFault;

  constructor(code: LinkFault, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'LinkError';
    this.code = code;
  }
}
