import { accessRoutes } from '@sallyport/api';
import { formatPrefix, hasHostBits, parsePrefix } from '@sallyport/policy';
import { implement, type RouteImplementation } from '../http/implement.ts';
import { checkVersion } from '../http/version.ts';
import { readSettings, writeSettings } from '../repositories/settings.ts';
import { Faults } from './faults.ts';
import { merge } from './merge.ts';
import { dnsValue } from './dns-settings.ts';
import { isTooWide } from './policy-values.ts';

export const settingsRoutes: readonly RouteImplementation[] = [
  implement(accessRoutes.getSettings, ({ services }) => readSettings(services.store.db)),

  implement(accessRoutes.updateSettings, ({ services, origin, body, ifMatch }) =>
    services.store.write(origin, async (writing) => {
      const before = await readSettings(writing.db);
      checkVersion(before.version, ifMatch);
      const faults = new Faults();
      const { dns, openvpn, connectionAudit, allowedIps, ...rest } = body;
      const after = merge(before, {
        ...rest,
        dns: merge(before.dns, dnsValue(dns ?? {}, faults)),
        openvpn: merge(before.openvpn, {
          ...openvpn,
          dataCiphers: openvpn?.dataCiphers && [...new Set(openvpn.dataCiphers)],
        }),
        connectionAudit: merge(before.connectionAudit, connectionAudit ?? {}),
        allowedIps: allowedIps?.map((text, i) => canonicalPrefix(text, `/body/allowedIps/${String(i)}`, faults)),
      });
      if (allowedIps !== undefined) checkFamilies(after.allowedIps, faults);
      faults.check();
      return await writeSettings(writing, before, after);
    }),
  ),
];

/** Whose IPv4 goes through the tunnel to the internet must not have IPv6 go past it, nor the other way round. */
function checkFamilies(prefixes: readonly string[], faults: Faults): void {
  const wide = prefixes.flatMap((text) => parsePrefix(text) ?? []).filter(isTooWide);
  const has = (family: 4 | 6): boolean => wide.some((prefix) => prefix.family === family);
  if (has(4) === has(6)) return;
  const [through, past, all] = has(4) ? ['IPv4', 'IPv6', '::/0'] : ['IPv6', 'IPv4', '0.0.0.0/0'];
  faults.add(
    '/body/allowedIps',
    `the internet by ${through} goes through the tunnel, that by ${past} past it: add ${all}`,
  );
}

function canonicalPrefix(text: string, at: string, faults: Faults): string {
  const prefix = parsePrefix(text);
  if (prefix === undefined) {
    faults.add(at, 'is no prefix');
    return text;
  }
  const canonical = formatPrefix(prefix);
  if (hasHostBits(text)) faults.add(at, `${text} has bits set beyond its length: write ${canonical}`);
  return canonical;
}
