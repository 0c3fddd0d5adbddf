import type { Resource } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useLocation, useRoute } from 'preact-iso';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { save } from '../../api/save.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import '../../styles/access.css';
import { useAction } from '../../ui/action.ts';
import { Button, LinkButton } from '../../ui/button.tsx';
import { ask } from '../../ui/dialog.tsx';
import { Form, SelectField, TextField } from '../../ui/form.tsx';
import { Loaded, Page, Panel } from '../../ui/page.tsx';
import { Facts } from '../../ui/parts.tsx';
import { done } from '../../ui/toast.tsx';
import { textOfResource, textOfServices } from './parts.tsx';
import { PreviewOf, usePreview, type Change } from './preview.tsx';

type Value = Pick<Resource, 'name' | 'description' | 'kind' | 'prefixes' | 'domain' | 'services'>;
type Kind = Resource['kind'];
type Protocol = Resource['services'][number]['protocol'];

/** As it is written in the form. */
interface Draft {
  readonly name: string;
  readonly description: string;
  readonly kind: Kind;
  readonly prefixes: string;
  readonly domain: string;
  readonly services: readonly { readonly protocol: Protocol; readonly ports: string }[];
}

const kinds: readonly Kind[] = ['network', 'name', 'internet'];
const protocols: readonly Protocol[] = ['tcp', 'udp', 'icmp', 'any'];

const valueOf = ({ name, description, kind, prefixes, domain, services }: Resource): Value => ({
  name,
  description,
  kind,
  prefixes,
  domain,
  services,
});

function draftOf({ name, description, kind, prefixes, domain, services }: Value): Draft {
  return {
    name,
    description,
    kind,
    prefixes: prefixes.join('\n'),
    domain: domain ?? '',
    services: services.map(({ protocol, ports }) => ({ protocol, ports: ports.join(', ') })),
  };
}

/** The parts of a text between commas, spaces and ends of lines. */
const partsOf = (text: string): string[] => text.split(/[\s,;]+/).filter((part) => part !== '');

const hasPorts = (protocol: Protocol): boolean => protocol === 'tcp' || protocol === 'udp';

function valueOfDraft({ name, description, kind, prefixes, domain, services }: Draft): Value {
  return {
    name,
    description,
    kind,
    prefixes: kind === 'network' ? partsOf(prefixes) : [],
    domain: kind === 'name' ? domain.trim() : null,
    services: services.map(({ protocol, ports }) => ({ protocol, ports: hasPorts(protocol) ? partsOf(ports) : [] })),
  };
}

export default function ResourcePage(): JSX.Element {
  const { params } = useRoute();
  const id = params['id'] ?? '';
  // Each time that it has to begin anew from what the server holds.
  const [round, setRound] = useState(0);
  const resource = useQuery('getResource', { params: { resourceId: id } }, { enabled: id !== 'new' });
  if (id === 'new') {
    return (
      <Page title={t.access.newResource} intro={t.access.resourceIntro}>
        <ResourceForm
          initial={{ name: '', description: '', kind: 'network', prefixes: [], domain: null, services: [] }}
          onStale={() => Promise.resolve()}
        />
      </Page>
    );
  }
  return (
    <Page
      title={resource.data?.name ?? t.access.resource}
      {...(resource.data?.description ? { intro: resource.data.description } : {})}
      actions={resource.data && <Actions resource={resource.data} />}
    >
      <Loaded query={resource}>
        {(data) => (
          <>
            <UsedBy id={data.id} />
            {may('policy:write') ? (
              <ResourceForm
                key={`${data.id} ${round}`}
                initial={valueOf(data)}
                before={data}
                onStale={async () => {
                  await resource.refetch();
                  setRound(round + 1);
                }}
              />
            ) : (
              <Panel>
                <Facts
                  facts={[
                    [t.access.kind, t.access.kinds[data.kind]],
                    [t.access.what, textOfResource(data)],
                    [t.access.services, textOfServices(data.services)],
                  ]}
                />
              </Panel>
            )}
          </>
        )}
      </Loaded>
    </Page>
  );
}

function useRulesWith(id: string) {
  const rules = useQuery('listRules', { query: { limit: 1000 } });
  return rules.data?.items.filter(({ resources }) => resources.includes(id));
}

function Actions({ resource }: { readonly resource: Resource }): JSX.Element | null {
  const { route } = useLocation();
  const { busy, run } = useAction();
  const rules = useRulesWith(resource.id);
  if (!may('policy:write')) return null;
  const { id, name, version } = resource;
  const remove = async (): Promise<void> => {
    const { removeResourceTitle: title, removeResourceText: text, removeResource: action } = t.access;
    if (!(await ask({ title: title(name), text, action }))) return;
    await call('deleteResource', { params: { resourceId: id }, ifMatch: version });
    route('/policy?tab=resources', true);
    changed('resource');
    done(t.access.resourceRemoved(name), async () => {
      await call('createResource', { body: valueOf(resource) });
      changed('resource');
    });
  };
  return (
    <>
      <LinkButton href={`/policy/rules/new?resource=${encodeURIComponent(id)}`}>{t.access.allowIt}</LinkButton>
      {rules?.length === 0 && (
        <Button kind="danger" busy={busy} onClick={() => run(remove)}>
          {t.common.remove}
        </Button>
      )}
    </>
  );
}

function UsedBy({ id }: { readonly id: string }): JSX.Element {
  const rules = useRulesWith(id);
  return (
    <Panel>
      <Facts
        facts={[
          [
            t.access.usedBy,
            rules === undefined
              ? t.common.loading
              : rules.length === 0
                ? t.access.usedByNone
                : rules.map((rule, index) => (
                    <>
                      {index > 0 && ', '}
                      <a key={rule.id} href={`/policy/rules/${rule.id}`}>
                        {rule.name}
                      </a>
                    </>
                  )),
          ],
        ]}
      />
      {rules !== undefined && rules.length > 0 && may('policy:write') && <p class="hint">{t.access.usedByHint}</p>}
    </Panel>
  );
}

function ResourceForm({
  initial,
  before: given,
  onStale,
}: {
  readonly initial: Value;
  /** The resource that is changed; undefined: it is a new one. */
  readonly before?: Resource;
  readonly onStale: () => Promise<unknown>;
}): JSX.Element {
  const { route } = useLocation();
  const policy = useQuery('getPolicy');
  const [draft, setDraft] = useState(() => draftOf(initial));
  // As it was when the form began: a change by somebody else is found out when it is saved.
  const [before] = useState(given);
  const value = valueOfDraft(draft);
  const complete =
    value.kind === 'internet' || (value.kind === 'network' ? value.prefixes.length > 0 : value.domain !== '');
  // Rules go on naming it by the old name; a new one is for nobody yet.
  const change: Change | undefined =
    before === undefined || policy.data === undefined || !complete
      ? undefined
      : {
          resources: policy.data.resources.map((resource) =>
            resource.name === before.name ? { ...value, name: before.name } : resource,
          ),
        };
  const preview = usePreview(change);
  const set = (changes: Partial<Draft>): void => setDraft({ ...draft, ...changes });
  const toResources = (): void => route('/policy?tab=resources');

  const create = async (): Promise<void> => {
    const { id, name, version } = await call('createResource', { body: value });
    changed('resource');
    route(`/policy/resources/${id}`);
    done(t.access.resourceCreated(name), async () => {
      await call('deleteResource', { params: { resourceId: id }, ifMatch: version });
      changed('resource');
      toResources();
    });
  };
  const update = async (resource: Resource): Promise<void> => {
    const params = { resourceId: resource.id };
    const result = await save(
      () => call('updateResource', { params, body: value, ifMatch: resource.version }),
      onStale,
    );
    if (result === undefined) return;
    changed('resource');
    toResources();
    done(t.access.resourceSaved(value.name), async () => {
      await call('updateResource', { params, body: valueOf(resource), ifMatch: result.saved.version });
      changed('resource');
    });
  };
  const fields = (
    <Panel>
      <TextField
        name="name"
        label={t.access.resourceName}
        hint={t.access.nameHint}
        value={draft.name}
        onChange={(name) => set({ name })}
        required
        autofocus={before === undefined}
      />
      <TextField
        name="description"
        label={`${t.access.description} (${t.common.optional})`}
        value={draft.description}
        onChange={(description) => set({ description })}
      />
      <SelectField
        name="kind"
        label={t.access.kind}
        hint={t.access.kindHints[draft.kind]}
        value={draft.kind}
        onChange={(kind) => set({ kind: kind as Kind })}
        options={kinds.map((kind) => ({ value: kind, label: t.access.kinds[kind] }))}
      />
      {draft.kind === 'network' && (
        <TextField
          name="prefixes"
          label={t.access.prefixes}
          hint={t.access.prefixesHint}
          rows={4}
          value={draft.prefixes}
          onChange={(prefixes) => set({ prefixes })}
          required
        />
      )}
      {draft.kind === 'name' && (
        <TextField
          name="domain"
          label={t.access.domain}
          hint={t.access.domainHint}
          value={draft.domain}
          onChange={(domain) => set({ domain })}
          required
        />
      )}
      <Services services={draft.services} onChange={(services) => set({ services })} />
    </Panel>
  );
  return (
    <Form
      submit={before === undefined ? t.access.createResource : t.access.saveResource}
      onCancel={toResources}
      onSubmit={() => (before === undefined ? create() : update(before))}
      disabled={!complete || preview.broken.length > 0}
    >
      {before === undefined ? (
        <div class="alone-form">{fields}</div>
      ) : (
        <div class="with-preview">
          {fields}
          <PreviewOf preview={preview} />
        </div>
      )}
    </Form>
  );
}

function Services({
  services,
  onChange,
}: {
  readonly services: Draft['services'];
  readonly onChange: (services: Draft['services']) => void;
}): JSX.Element {
  const change = (index: number, changes: Partial<Draft['services'][number]>): void =>
    onChange(services.map((service, other) => (other === index ? { ...service, ...changes } : service)));
  return (
    <fieldset>
      <legend>{t.access.services}</legend>
      <p class="hint">{t.access.servicesHint}</p>
      {services.map((service, index) => (
        <div key={index} class="service" role="group" aria-label={t.access.service(index + 1)}>
          <SelectField
            name={`services/${index}/protocol`}
            label={t.access.protocol}
            value={service.protocol}
            onChange={(protocol) => change(index, { protocol: protocol as Protocol })}
            options={protocols.map((protocol) => ({ value: protocol, label: t.access.protocols[protocol] }))}
          />
          {hasPorts(service.protocol) ? (
            <TextField
              name={`services/${index}/ports`}
              label={t.access.ports}
              placeholder={t.access.portsHint}
              value={service.ports}
              onChange={(ports) => change(index, { ports })}
            />
          ) : (
            <span />
          )}
          <Button
            label={t.access.removeService(index + 1)}
            onClick={() => onChange(services.filter((_, other) => other !== index))}
          >
            {t.common.remove}
          </Button>
        </div>
      ))}
      <Button small onClick={() => onChange([...services, { protocol: 'tcp', ports: '' }])}>
        {t.access.addService}
      </Button>
    </fieldset>
  );
}
