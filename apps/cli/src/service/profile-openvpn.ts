import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { routes, type Device } from '@sallyport/api';
import type { Command } from '../command.ts';
import { CommandFailure, EXIT_FAILED, EXIT_USAGE } from '../command.ts';
import { writeNewDevice } from './new-device.ts';

/** What stands for the private key in a profile as the service gives it. */
const PLACEHOLDER = /^# Put the private key .*\n# <key><\/key>\n/m;

const LOGINS = ['certificate', 'password', 'web'] as const;
type Login = (typeof LOGINS)[number];

export const profileOpenvpn: Command = {
  name: 'profile openvpn',
  usage: 'NAME [--login certificate|password|web] [--gateway NAME] [--output FILE.ovpn]',
  summary: 'add a device of yours and write its profile for any OpenVPN client',
  help: `Makes the key pair here, adds the device with a certificate for it, and writes the profile for OpenVPN 2.5 or newer,
OpenVPN Connect or NetworkManager. The private key never leaves this machine.

Options:
  --login HOW          what connecting takes beside the profile: nothing (certificate, the default); your password, and
                       the code of your authenticator app if you have one (password); or a login in the browser (web)
  --gateway NAME       the one gateway that the profile names; by default all that you may use, the best first
  --output FILE.ovpn   where to write the profile, readable by you only; by default the standard output
  --json               print the device as JSON (needs --output)

Examples:
  sallyport profile openvpn laptop --output office.ovpn
  sallyport profile openvpn tablet --login password --gateway oslo-1 --output tablet.ovpn
  sudo openvpn --config office.ovpn
  sudo sallyport openvpn up ./office.ovpn`,
  options: ['json'],
  valued: ['login', 'gateway', 'output'],
  arguments: [1, 1],
  async run([name = ''], options, values) {
    const login = values.get('login')?.at(-1) ?? 'certificate';
    if (!isLogin(login)) {
      throw new CommandFailure(EXIT_USAGE, `--login is one of ${LOGINS.join(', ')}, not ${login}`);
    }
    if (options.has('json') && !values.has('output')) {
      throw new CommandFailure(EXIT_USAGE, '--json needs --output FILE.ovpn, where the profile goes');
    }
    // P-256: what every client since OpenVPN 2.4 takes.
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    const gateway = values.get('gateway')?.at(-1);
    await writeNewDevice({
      path: values.get('output')?.at(-1),
      json: options.has('json'),
      add: async (connection) =>
        (await connection.call(routes.addMyOpenVpnDevice, {
          body: { name, login, publicKey: publicKey.export({ type: 'spki', format: 'der' }).toString('base64') },
        })) as Device,
      fetch: async (connection, deviceId) =>
        (await connection.call(routes.getMyOpenVpnProfile, {
          params: { deviceId },
          query: gateway === undefined ? {} : { gateway },
        })) as string,
      fill: (profile) => fill(profile, privateKey),
    });
    return 0;
  },
};

function isLogin(word: string): word is Login {
  return (LOGINS as readonly string[]).includes(word);
}

function fill(profile: string, privateKey: KeyObject): string {
  if (!PLACEHOLDER.test(profile)) {
    throw new CommandFailure(EXIT_FAILED, 'the service gave a profile without a place for the private key');
  }
  const key = privateKey.export({ type: 'pkcs8', format: 'pem' });
  return profile.replace(PLACEHOLDER, () => `<key>\n${key}</key>\n`);
}
