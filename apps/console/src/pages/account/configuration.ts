/** What the server leaves out of a configuration, because it never has it. */
const placeholder = '# PrivateKey = ';

/** Puts the private key into the configuration of the server, in place of the lines that ask for it. */
export function withPrivateKey(configuration: string, privateKey: string): string {
  const lines = configuration.split('\n');
  const from = lines.indexOf('[Interface]') + 1;
  const at = lines.indexOf(placeholder, from);
  if (from === 0 || at === -1) throw new Error('The configuration has no place for a private key');
  return lines.toSpliced(from, at - from + 1, `PrivateKey = ${privateKey}`).join('\n');
}

/** The same without comments and empty lines: a QR code of fewer, larger modules. */
export function compact(configuration: string): string {
  return configuration
    .split('\n')
    .filter((line) => line !== '' && !line.startsWith('#'))
    .join('\n');
}

/** Of no known kind: browsers that know one add its extension, and `phone.conf.txt` is no file for WireGuard. */
export const configurationType = 'application/octet-stream';

/** The longest name of a network interface in Linux, which wg-quick(8) takes from the file's name. */
const maxInterfaceName = 15;

/** `alices-phone.conf`: a name that every system and wg-quick take, of a device's name in any script. */
export function configurationFileName(deviceName: string, extension = 'conf'): string {
  const name = deviceName
    .normalize('NFKD')
    .replace(/['’\u0300-\u036f]/g, '')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-+/, '')
    .slice(0, maxInterfaceName)
    .replace(/-+$/, '');
  return `${name === '' ? 'sallyport' : name}.${extension}`;
}

/** A name for the next device that no other has. */
export function suggestName(kind: string, taken: readonly string[]): string {
  if (!taken.includes(kind)) return kind;
  let number = 2;
  while (taken.includes(`${kind} ${String(number)}`)) number++;
  return `${kind} ${String(number)}`;
}
