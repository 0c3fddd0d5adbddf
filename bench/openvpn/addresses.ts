/** Where everything is, on the wire and in the tunnel, whoever serves. */
export const SERVER_OUTER = '192.0.2.2';
export const CLIENT_OUTER = '192.0.2.1';
export const PORT = 1194;
export const SERVER_INNER = '10.97.0.1';
export const NETWORK_INNER = '10.97.0.0';
export const MTU = 1420;

/** The inner address of the client `number`, from 1 on. */
export function innerAddress(number: number): string {
  const host = number + 1;
  return `10.97.${String(host >> 8)}.${String(host & 255)}`;
}
