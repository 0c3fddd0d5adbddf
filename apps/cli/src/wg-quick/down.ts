import { CommandRunner, Ip, Nft } from '@sallyport/io';
import { getDevice, UapiClientError } from '@sallyport/runtime';
import { decodeDeviceState } from '@sallyport/wireguard';
import type { DeviceState } from '@sallyport/wireguard';
import type { WgQuickConfig } from './config.ts';
import { dnsMethod, unsetDns } from './dns.ts';
import { runHooks } from './hooks.ts';
import { nftTableName, planRoutes } from './plan.ts';
import { formatConfig } from './save.ts';
import { claimRecord, readRecord, writeWhole } from './session.ts';
import type { UpRecord } from './session.ts';
import { removeInterface, setSrcValidMark } from './up.ts';

export interface DownRequest {
  readonly name: string;
  /** The configuration file's absolute path, where it was found. */
  readonly file: string | undefined;
  /** Undefined where the file is gone or faulty: what can be undone without it is. */
  readonly config: WgQuickConfig | undefined;
  readonly tell: (line: string) => void;
}

/** There is nothing to take down. */
export class NotUpError extends Error {
  readonly code = 'notUp';

  constructor(name: string) {
    super(`${name} is not up`);
    this.name = 'NotUpError';
  }
}

/**
 * Takes a tunnel down as wg-quick(8) does, or what is left of one whose device has ended. Goes on where a step fails,
 * and returns what failed. Throws {@link NotUpError}, or what kept the configuration from being saved: the tunnel then
 * stays up.
 */
export async function takeDown(request: DownRequest): Promise<string[]> {
  const { name, config, file } = request;
  const runner = new CommandRunner((line) => {
    request.tell(`[#] ${line}`);
  });
  const ip = new Ip(runner);
  const record = readRecord(name);
  const exists = (await ip.linkMtu(name)) !== undefined;
  if (!exists && record === undefined) throw new NotUpError(name);
  const state = exists ? await deviceState(name) : undefined;
  if (exists && state === undefined && record === undefined) throw new NotUpError(name);

  const failures: string[] = [];
  const attempt = async (step: string, action: () => Promise<void>) => {
    try {
      await action();
    } catch (error) {
      failures.push(`${step}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  const hooks = (commands: readonly string[]) =>
    runHooks(commands, name, (line) => {
      request.tell(`[#] ${line}`);
    });

  if (config !== undefined) await attempt('PreDown', () => hooks(config.preDown));
  if (config?.saveConfig === true && file !== undefined && state !== undefined) {
    runner.tell(`save the configuration to ${file}`);
    const automaticMark = record?.defaultTable !== undefined && config.fwmark === undefined;
    const saved = automaticMark ? { ...state, fwmark: 0 } : state;
    writeWhole(file, formatConfig(config, saved, await ip.addresses(name), await ip.linkMtu(name)));
  }
  if (record !== undefined && !claimRecord(name)) return failures; // another process is taking it down

  const dns = record === undefined ? dnsWithoutRecord(config) : record.dns;
  if (dns !== undefined) {
    await attempt('take back the name servers', async () => {
      const remark = await unsetDns(runner, dns, name);
      if (remark !== undefined) request.tell(`Warning: ${remark}`);
    });
  }
  const routes = record ?? (await defaultRoutesWithoutRecord(ip, config, state));
  if (routes.defaultTable !== undefined) {
    await attempt('remove the packet filter', async () => {
      await new Nft(runner).deleteTables(nftTableName(name));
    });
    await removeRules(ip, routes, attempt);
    await attempt('set src_valid_mark back', async () => {
      const { srcValidMark } = routes;
      if (srcValidMark !== undefined && !(await hasDefaultTunnel(ip))) setSrcValidMark(runner, srcValidMark);
    });
  }
  await attempt('remove the interface', () => removeInterface(ip, name));
  if (config !== undefined) await attempt('PostDown', () => hooks(config.postDown));
  return failures;
}

type Attempt = (step: string, action: () => Promise<void>) => Promise<void>;
type DefaultRoutes = Pick<UpRecord, 'defaultTable' | 'defaultFamilies' | 'srcValidMark'>;

async function removeRules(ip: Ip, routes: DefaultRoutes, attempt: Attempt): Promise<void> {
  const table = String(routes.defaultTable);
  for (const family of routes.defaultFamilies ?? []) {
    // Where bringing up was cut short, one of the rules may be missing.
    const rules = await ip.rules(family);
    if (!rules.some((rule) => rule.not && rule.table === table)) continue;
    await attempt('remove the rule', () => ip.deleteRule(family, ['not', 'fwmark', table, 'table', table]));
    if (!rules.some((rule) => rule.table === 'main' && rule.suppressPrefixLength === 0)) continue;
    await attempt('remove the rule', () => ip.deleteRule(family, ['table', 'main', 'suppress_prefixlength', '0']));
  }
}

/** Whether another tunnel has the default route by a mark. */
async function hasDefaultTunnel(ip: Ip): Promise<boolean> {
  return (await ip.rules(4)).some((rule) => rule.not && rule.fwmark !== undefined);
}

/** For a tunnel that wg-quick brought up. */
function dnsWithoutRecord(config: WgQuickConfig | undefined) {
  const method = dnsMethod();
  return method === 'resolvconf' && (config?.dnsServers.length ?? 0) > 0 ? method : undefined;
}

/** For a tunnel that wg-quick brought up: its device tells the mark. */
async function defaultRoutesWithoutRecord(
  ip: Ip,
  config: WgQuickConfig | undefined,
  state: DeviceState | undefined,
): Promise<DefaultRoutes> {
  if (state === undefined || state.fwmark === 0 || (config !== undefined && planRoutes(config).defaults.length === 0)) {
    return {};
  }
  const families: (4 | 6)[] = [];
  for (const family of [4, 6] as const) {
    const rules = await ip.rules(family);
    if (rules.some((rule) => rule.not && rule.table === String(state.fwmark))) families.push(family);
  }
  return families.length === 0 ? {} : { defaultTable: state.fwmark, defaultFamilies: families };
}

/** What the device says of itself, or undefined where nothing answers. */
async function deviceState(name: string): Promise<DeviceState | undefined> {
  try {
    const answer = decodeDeviceState(await getDevice(name));
    return answer.ok ? answer.state : undefined;
  } catch (error) {
    if (error instanceof UapiClientError) return undefined;
    throw error;
  }
}
