/** What a tunnel needs before there is a connection. */
import { createPrivateKey } from 'node:crypto';
import { release } from 'node:os';
import { Secret } from '@sallyport/core';
import type { Ip } from '@sallyport/io';
import type { OpenVpnProfile } from '@sallyport/openvpn';
import { CommandFailure, EXIT_NOT_PERMITTED } from '../command.ts';
import { version } from '../command-list.ts';
import type { Interaction } from './interaction.ts';
import { marksInUse } from './record.ts';

/** Where the search for a free routing table, and mark, begins. */
const FIRST_TABLE = 52_820;

/** The key, without the password that it may be encrypted with. */
export async function privateKeyOf(
  { key }: OpenVpnProfile,
  interaction: Interaction,
): Promise<Secret<string> | undefined> {
  if (key === undefined || !/ENCRYPTED/.test(key.reveal())) return key;
  const passphrase = await interaction.ask('Password of the private key', true);
  try {
    return new Secret(createPrivateKey({ key: key.reveal(), passphrase }).export({ type: 'pkcs8', format: 'pem' }));
  } catch (error) {
    throw new CommandFailure(EXIT_NOT_PERMITTED, 'the password does not open the private key of the profile', {
      cause: error,
    });
  }
}

/** A number that neither a table nor a tunnel has: for both, and as a mark. */
export async function chooseMark(ip: Ip): Promise<number> {
  const taken = marksInUse();
  const isUsed = async (mark: number): Promise<boolean> => {
    if (taken.has(mark)) return true;
    const table = String(mark);
    return (await ip.routes(4, table)).length > 0 || (await ip.routes(6, table)).length > 0;
  };
  let mark = FIRST_TABLE;
  while (await isUsed(mark)) mark++;
  return mark;
}

/** What the client says of itself. */
export function peerInfoOf({ pushPeerInfo, peerInfo }: OpenVpnProfile): ReadonlyMap<string, string> {
  return new Map([
    ['IV_VER', `sallyport-${version()}`],
    ['IV_PLAT', 'linux'],
    ['IV_SSO', 'webauth,openurl'],
    ...(pushPeerInfo ? ([['IV_PLAT_VER', release()], ...peerInfo] as const) : []),
  ]);
}
