import type { Secret } from '@sallyport/core';
import { encodeBase64Key } from '@sallyport/wireguard';
import { routes, type Device } from '@sallyport/api';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_FAILED, tell } from '../command.ts';
import { generatePrivateKey, publicKeyOf } from '../keys.ts';
import { printable } from '../client/terminal.ts';
import { connect, type Connection } from './connection.ts';
import { PrivateOutput } from './private-file.ts';

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
    const output = new PrivateOutput(values.get('output')?.at(-1));
    try {
      const connection = await connect();
      const key = generatePrivateKey();
      const device = (await connection.call(routes.addMyDevice, {
        body: { name, publicKey: encodeBase64Key(publicKeyOf(key)) },
      })) as Device;
      const text = await configurationOf(connection, device, values.get('gateway')?.at(-1));
      output.write(fill(text, key));
      if (options.has('json')) process.stdout.write(`${JSON.stringify(device, undefined, 2)}\n`);
      else
        tell(
          printable(
            `${device.name} has the addresses ${device.ipv4} and ${device.ipv6}. ${device.message || device.standing}`,
          ),
        );
    } catch (error) {
      output.discard();
      throw error;
    } finally {
      output.close();
    }
    return 0;
  },
};

/** Takes the device back where its configuration can't be had: its key would be lost. */
async function configurationOf(connection: Connection, device: Device, gateway: string | undefined): Promise<string> {
  try {
    return (await connection.call(routes.getMyDeviceConfiguration, {
      params: { deviceId: device.id },
      query: gateway === undefined ? {} : { gateway },
    })) as string;
  } catch (error) {
    await connection.call(routes.removeMyDevice, { params: { deviceId: device.id }, ifMatch: device.version });
    throw error;
  }
}

function fill(configuration: string, key: Secret<Uint8Array>): string {
  if (!PLACEHOLDER.test(configuration)) {
    throw new CommandFailure(EXIT_FAILED, 'the service gave a configuration without a place for the private key');
  }
  return configuration.replace(PLACEHOLDER, `PrivateKey = ${encodeBase64Key(key.reveal())}`);
}
