/** All commands, by name. Each is loaded when it is called: `sallyport genkey` needs no interface, `wg device` all there is. */
import { readFileSync } from 'node:fs';
import type { Command } from './command.ts';

export interface Entry {
  readonly name: string;
  readonly load: () => Promise<Command>;
}

/** Those of this program alone, in the order in which people are shown them. */
export const LOCAL: readonly Entry[] = [
  { name: 'login', load: async () => (await import('./client/login.ts')).login },
  { name: 'logout', load: async () => (await import('./client/logout.ts')).logout },
  { name: 'connect', load: async () => (await import('./client/connect.ts')).connect },
  { name: 'disconnect', load: async () => (await import('./client/connect.ts')).disconnect },
  { name: 'status', load: async () => (await import('./client/status.ts')).status },
  { name: 'regions', load: async () => (await import('./client/regions.ts')).regions },
  { name: 'set', load: async () => (await import('./client/set.ts')).set },
  { name: 'doctor', load: async () => (await import('./client/doctor.ts')).doctor },
  { name: 'leaktest', load: async () => (await import('./client/leaktest.ts')).leaktest },
  { name: 'outside', load: async () => (await import('./client/outside.ts')).outside },
  { name: 'daemon', load: async () => (await import('./client/daemon-command.ts')).daemon },
  { name: 'wg up', load: async () => (await import('./commands/wg-up.ts')).wgUp },
  { name: 'wg down', load: async () => (await import('./commands/wg-down.ts')).wgDown },
  { name: 'wg status', load: async () => (await import('./commands/wg-status.ts')).wgStatus },
  { name: 'wg device', load: async () => (await import('./commands/wg-device.ts')).wgDevice },
  { name: 'openvpn up', load: async () => (await import('./openvpn/command.ts')).openvpnUp },
  { name: 'openvpn down', load: async () => (await import('./openvpn/command.ts')).openvpnDown },
  { name: 'openvpn status', load: async () => (await import('./openvpn/status.ts')).openvpnStatus },
  { name: 'server', load: async () => (await import('./commands/server.ts')).server },
  { name: 'gateway join', load: async () => (await import('./commands/server.ts')).gatewayJoin },
  { name: 'gateway run', load: async () => (await import('./commands/server.ts')).gatewayRun },
  { name: 'config check', load: async () => (await import('./commands/server.ts')).configCheck },
  { name: 'config show', load: async () => (await import('./commands/server.ts')).configShow },
  { name: 'backup', load: async () => (await import('./commands/storage.ts')).backup },
  { name: 'restore', load: async () => (await import('./commands/storage.ts')).restore },
  { name: 'setup', load: async () => (await import('./service/login.ts')).setup },
  { name: 'invitation accept', load: async () => (await import('./service/login.ts')).acceptInvitation },
  { name: 'device new', load: async () => (await import('./service/device-new.ts')).deviceNew },
  { name: 'profile openvpn', load: async () => (await import('./service/profile-openvpn.ts')).profileOpenvpn },
  { name: 'genkey', load: async () => (await import('./commands/keys.ts')).genkey },
  { name: 'pubkey', load: async () => (await import('./commands/keys.ts')).pubkey },
  { name: 'genpsk', load: async () => (await import('./commands/keys.ts')).genpsk },
  { name: 'man', load: async () => (await import('./commands/man.ts')).man },
  { name: 'completion', load: async () => (await import('./commands/completion.ts')).completion },
];

/** First words that no command of the API shares. */
const LOCAL_GROUPS = ['wg', 'openvpn', 'config'];

/** All commands, those that the API offers too: they are loaded only when none of the local ones is meant. */
export async function allCommands(): Promise<readonly Entry[]> {
  const { serviceCommands } = await import('./service/commands.ts');
  const own = new Set(LOCAL.map(({ name }) => name));
  return [...LOCAL, ...serviceCommands().filter(({ name }) => !own.has(name))];
}

export async function commandsFor(word: string): Promise<readonly Entry[]> {
  const local = LOCAL.some(({ name }) => name === word) || LOCAL_GROUPS.includes(word);
  return local ? LOCAL : allCommands();
}

export function loadAll(commands: readonly Entry[]): Promise<Command[]> {
  return Promise.all(commands.map(({ load }) => load()));
}

export async function loadAllCommands(): Promise<Command[]> {
  return loadAll(await allCommands());
}

export function version(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return (manifest as { version: string }).version;
}
