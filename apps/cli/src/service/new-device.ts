import { routes, type Device } from '@sallyport/api';
import { printable } from '../client/terminal.ts';
import { tell } from '../command.ts';
import { connect, type Connection } from './connection.ts';
import { PrivateOutput } from './private-file.ts';

export interface NewDevice {
  /** Where what sets the device up is written; undefined: to the standard output. */
  readonly path: string | undefined;
  /** Whether the device is printed as JSON. */
  readonly json: boolean;
  readonly add: (connection: Connection) => Promise<Device>;
  /** What the service gives for the device, without the private key. */
  readonly fetch: (connection: Connection, deviceId: string) => Promise<string>;
  /** Puts the private key in. */
  readonly fill: (text: string) => string;
}

/** Adds a device of the caller's and writes what sets it up. A file that was not written whole is removed. */
export async function writeNewDevice({ path, json, add, fetch, fill }: NewDevice): Promise<void> {
  const output = new PrivateOutput(path);
  try {
    const connection = await connect();
    const device = await add(connection);
    output.write(fill(await fetchOrTakeBack(connection, device, fetch)));
    if (json) process.stdout.write(`${JSON.stringify(device, undefined, 2)}\n`);
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
}

/** Takes the device back where what sets it up can't be had: its key would be lost. */
async function fetchOrTakeBack(connection: Connection, device: Device, fetch: NewDevice['fetch']): Promise<string> {
  try {
    return await fetch(connection, device.id);
  } catch (error) {
    await connection.call(routes.removeMyDevice, { params: { deviceId: device.id }, ifMatch: device.version });
    throw error;
  }
}
