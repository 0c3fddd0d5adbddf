/** Why a packet went no further. The packet path never throws: it counts one of these. */
export const DROP_REASONS = [
  'malformedFrame',
  'malformedPacket',
  'malformedDatagram',
  'unknownMessageType',
  'unknownReceiver',
  'authenticationFailed',
  'replayed',
  'keypairExpired',
  'wrongSource',
  'noRoute',
  'noEndpoint',
  'ecnMismatch',
  'queueFull',
  'sendFailed',
  'deviceWriteFailed',
  'cookieRequired',
  'rateLimited',
  'handshakeRejected',
] as const;

export type DropReasonName = (typeof DROP_REASONS)[number];

/** Each reason's number: its place in {@link DROP_REASONS}, and so in a table of counters. */
export const DropReason = Object.fromEntries(DROP_REASONS.map((name, number) => [name, number])) as {
  readonly [Name in DropReasonName]: number;
};
