import { fstatSync } from 'node:fs';
import { Secret } from '@sallyport/core';
import { decodeBase64Key, encodeBase64Key } from '@sallyport/wireguard';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_BAD_INPUT, tell } from '../command.ts';
import { generatePresharedKey, generatePrivateKey, publicKeyOf } from '../keys.ts';

export const genkey: Command = {
  name: 'genkey',
  usage: '',
  summary: 'print a new private key',
  help: `Prints a new private key in base64, as "wg genkey" does. Keep the file that you write it to unreadable for others.

Example: a private key and its public key
  umask 077; sallyport genkey | tee private.key | sallyport pubkey > public.key`,
  options: [],
  arguments: [0, 0],
  run() {
    printSecret(generatePrivateKey());
    return Promise.resolve(0);
  },
};

export const genpsk: Command = {
  name: 'genpsk',
  usage: '',
  summary: 'print a new preshared key',
  help: `Prints a new preshared key in base64, as "wg genpsk" does. Both peers of a tunnel get the same one.

Example:
  umask 077; sallyport genpsk > preshared.key`,
  options: [],
  arguments: [0, 0],
  run() {
    printSecret(generatePresharedKey());
    return Promise.resolve(0);
  },
};

export const pubkey: Command = {
  name: 'pubkey',
  usage: '',
  summary: 'read a private key and print its public key',
  help: `Reads a private key in base64 from the standard input and prints its public key, as "wg pubkey" does.

Example:
  sallyport pubkey < private.key > public.key`,
  options: [],
  arguments: [0, 0],
  async run() {
    const key = decodeBase64Key((await readShort(process.stdin)).trimEnd());
    if (key === undefined) {
      throw new CommandFailure(
        EXIT_BAD_INPUT,
        'the standard input is not a private key; it has to be the 44 characters that "sallyport genkey" prints',
      );
    }
    process.stdout.write(`${encodeBase64Key(publicKeyOf(new Secret(key)))}\n`);
    return 0;
  },
};

function printSecret(key: Secret<Uint8Array>): void {
  const { mode } = fstatSync(1);
  const isFile = (mode & 0o170000) === 0o100000;
  if (isFile && (mode & 0o007) !== 0) {
    tell('Warning: the key goes to a file that everyone can read. Set the umask to 077 and make a new one.');
  }
  process.stdout.write(`${encodeBase64Key(key.reveal())}\n`);
}

/** A key and its line end need no more; what is longer is no key. */
const MAX_INPUT_LENGTH = 1024;

async function readShort(input: NodeJS.ReadStream): Promise<string> {
  let text = '';
  for await (const chunk of input.setEncoding('latin1') as AsyncIterable<string>) {
    text += chunk;
    if (text.length > MAX_INPUT_LENGTH) break;
  }
  return text;
}
