import type { Secret } from '@sallyport/core';
import { encodeBase64Key } from '@sallyport/wireguard';
import { routes, type Device } from '@sallyport/api';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_FAILED } from '../command.ts';
import { generatePrivateKey, publicKeyOf } from '../keys.ts';
import { writeNewDevice } from './new-device.ts';

/** What stands for the private key in a configuration as the service gives it. */
const PLACEHOLDER = /^#?\s*PrivateKey\s*=.*$/m;

export const deviceNew: Command = {
  name: 'device new',
  usage: 'NAME [--gateway NAME] [--output FILE.conf]',
  summary: 'make a key, add it as a device of yours, and write its WireGuard configuration',
  help: `Makes the key pair here, adds the device by its public key, and writes the configuration for any WireGuard app. The
private key never leaves this machine.

Options:
  --gateway NAME      the gateway to connect to; by default the one that the service recommends (sallyport me gateways)
  --output FILE.conf  where to write the configuration, readable by you only; by default the standard output
  --json              print the device as JSON (needs --output)

Examples:
  sallyport device new laptop --output /etc/wireguard/office.conf
  sallyport device new phone | qrencode -t ansiutf8`,
  options: ['json'],
  valued: ['gateway', 'output'],
  arguments: [1, 1],
  async run([name = ''], options, values) {
    const key = generatePrivateKey();
    const gateway = values.get('gateway')?.at(-1);
    await writeNewDevice({
      path: values.get('output')?.at(-1),
      json: options.has('json'),
      add: async (connection) =>
        (await connection.call(routes.addMyDevice, {
          body: { name, publicKey: encodeBase64Key(publicKeyOf(key)) },
        })) as Device,
      fetch: async (connection, deviceId) =>
        (await connection.call(routes.getMyDeviceConfiguration, {
          params: { deviceId },
          query: gateway === undefined ? {} : { gateway },
        })) as string,
      fill: (text) => fill(text, key),
    });
    return 0;
  },
};

function fill(configuration: string, key: Secret<Uint8Array>): string {
  if (!PLACEHOLDER.test(configuration)) {
    throw new CommandFailure(EXIT_FAILED, 'the service gave a configuration without a place for the private key');
  }
  return configuration.replace(PLACEHOLDER, `PrivateKey = ${encodeBase64Key(key.reveal())}`);
}
