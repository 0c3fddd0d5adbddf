import type { Settings as ServiceSettings } from '@sallyport/api';
import type { JSX } from 'preact';
import { useRef, useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { save } from '../../api/save.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { CheckField, Form, TextField } from '../../ui/form.tsx';
import { Loaded, Page, Panel } from '../../ui/page.tsx';
import { done } from '../../ui/toast.tsx';

const text = t.service.settings;

export default function Settings(): JSX.Element {
  const settings = useQuery('getSettings');
  // What somebody types isn't lost where somebody else saves: the form begins anew when it was saved, or untouched.
  const touched = useRef(false);
  const shown = useRef<ServiceSettings | undefined>(undefined);
  const refetch = (): Promise<unknown> => {
    touched.current = false;
    return settings.refetch();
  };
  if (!touched.current) shown.current = settings.data;
  return (
    <Page title={text.title} intro={text.intro}>
      <Loaded query={{ ...settings, data: shown.current }}>
        {(current) => (
          <div onInput={() => (touched.current = true)}>
            <SettingsForm key={current.version} current={current} refetch={refetch} />
          </div>
        )}
      </Loaded>
    </Page>
  );
}

const lines = (value: string): string[] => value.split(/[\s,]+/).filter((line) => line !== '');

/** Lines of a name and what belongs to it. */
const namedLines = (value: string): (readonly [name: string, belonging: string[]])[] =>
  value.split('\n').flatMap((line) => {
    const [name, ...belonging] = lines(line);
    return name === undefined ? [] : [[name, belonging] as const];
  });

function SettingsForm({
  current,
  refetch,
}: {
  readonly current: ServiceSettings;
  readonly refetch: () => Promise<unknown>;
}): JSX.Element {
  const [servers, setServers] = useState(current.dns.servers.join('\n'));
  const [domains, setDomains] = useState(current.dns.searchDomains.join('\n'));
  const [upstreams, setUpstreams] = useState(current.dns.upstreams.join('\n'));
  const [blocked, setBlocked] = useState(current.dns.blocked.join('\n'));
  const [blockLists, setBlockLists] = useState(current.dns.blockLists.join('\n'));
  const [hosts, setHosts] = useState(
    current.dns.hosts.map(({ name, addresses: own }) => [name, ...own].join(' ')).join('\n'),
  );
  const [split, setSplit] = useState(
    current.dns.domains.map(({ domain, servers: own }) => [domain, ...own].join(' ')).join('\n'),
  );
  const [allowedIps, setAllowedIps] = useState(current.allowedIps.join('\n'));
  const [keepalive, setKeepalive] = useState(String(current.persistentKeepaliveSeconds));
  const [dataCiphers, setDataCiphers] = useState(current.openvpn.dataCiphers.join('\n'));
  const [oldClients, setOldClients] = useState(current.openvpn.oldClients);
  const [connections, setConnections] = useState(current.connectionAudit.enabled);
  const [connectionDays, setConnectionDays] = useState(String(current.connectionAudit.retentionDays));
  const [addresses, setAddresses] = useState(current.auditAddresses);
  const [usageDays, setUsageDays] = useState(String(current.usageRetentionDays));
  const submit = async (): Promise<void> => {
    const body = {
      dns: {
        servers: lines(servers),
        searchDomains: lines(domains),
        upstreams: lines(upstreams),
        blocked: lines(blocked),
        blockLists: lines(blockLists),
        hosts: namedLines(hosts).map(([name, own]) => ({ name, addresses: own })),
        domains: namedLines(split).map(([domain, own]) => ({ domain, servers: own })),
      },
      allowedIps: lines(allowedIps),
      persistentKeepaliveSeconds: Number(keepalive),
      // The server says which of them it doesn't know.
      openvpn: { dataCiphers: lines(dataCiphers) as ServiceSettings['openvpn']['dataCiphers'], oldClients },
      connectionAudit: { enabled: connections, retentionDays: Number(connectionDays) },
      auditAddresses: addresses,
      usageRetentionDays: Number(usageDays),
    };
    const result = await save(() => call('updateSettings', { ifMatch: current.version, body }), refetch);
    if (result === undefined) return;
    await refetch();
    changed('settings');
    done(text.saved);
  };
  const readOnly = !may('settings:write');
  return (
    <>
      {readOnly && <p class="notice">{text.readOnly}</p>}
      <Form submit={t.common.save} onSubmit={submit} disabled={readOnly}>
        <Panel title={text.dns}>
          <TextField
            name="dns/servers"
            label={text.dnsServers}
            hint={text.dnsServersHint}
            rows={3}
            value={servers}
            onChange={setServers}
          />
          <TextField
            name="dns/searchDomains"
            label={text.searchDomains}
            hint={text.searchDomainsHint}
            rows={2}
            value={domains}
            onChange={setDomains}
          />
        </Panel>
        <Panel title={text.names}>
          <TextField
            name="dns/upstreams"
            label={text.upstreams}
            hint={text.upstreamsHint}
            rows={2}
            value={upstreams}
            onChange={setUpstreams}
          />
          <TextField
            name="dns/hosts"
            label={text.hosts}
            hint={text.hostsHint}
            rows={3}
            value={hosts}
            onChange={setHosts}
          />
          <TextField
            name="dns/domains"
            label={text.domains}
            hint={text.domainsHint}
            rows={2}
            value={split}
            onChange={setSplit}
          />
          <TextField
            name="dns/blocked"
            label={text.blocked}
            hint={text.blockedHint}
            rows={3}
            value={blocked}
            onChange={setBlocked}
          />
          <TextField
            name="dns/blockLists"
            label={text.blockLists}
            hint={text.blockListsHint}
            rows={2}
            value={blockLists}
            onChange={setBlockLists}
          />
        </Panel>
        <Panel title={text.tunnel}>
          <TextField
            name="allowedIps"
            label={text.allowedIps}
            hint={text.allowedIpsHint}
            rows={3}
            value={allowedIps}
            onChange={setAllowedIps}
            required
          />
          <TextField
            name="persistentKeepaliveSeconds"
            label={text.keepalive}
            hint={text.keepaliveHint}
            type="number"
            value={keepalive}
            onChange={setKeepalive}
            required
          />
        </Panel>
        <Panel title={text.openvpn}>
          <TextField
            name="openvpn/dataCiphers"
            label={text.dataCiphers}
            hint={text.dataCiphersHint}
            rows={3}
            value={dataCiphers}
            onChange={setDataCiphers}
            required
          />
          <CheckField
            name="openvpn/oldClients"
            label={text.oldClients}
            hint={text.oldClientsHint}
            value={oldClients}
            onChange={setOldClients}
          />
        </Panel>
        <Panel title={text.privacy}>
          <CheckField
            name="connectionAudit/enabled"
            label={text.connectionAudit}
            hint={text.connectionAuditHint}
            value={connections}
            onChange={setConnections}
          />
          <TextField
            name="connectionAudit/retentionDays"
            label={text.connectionDays}
            type="number"
            value={connectionDays}
            onChange={setConnectionDays}
            required
          />
          <CheckField name="auditAddresses" label={text.auditAddresses} value={addresses} onChange={setAddresses} />
          <TextField
            name="usageRetentionDays"
            label={text.usageDays}
            type="number"
            value={usageDays}
            onChange={setUsageDays}
            required
          />
        </Panel>
      </Form>
    </>
  );
}
