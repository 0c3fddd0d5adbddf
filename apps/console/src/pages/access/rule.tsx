import type { Rule } from '@sallyport/api';
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
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { CheckField, Form, TextField } from '../../ui/form.tsx';
import { Loaded, Page, Panel } from '../../ui/page.tsx';
import { Facts } from '../../ui/parts.tsx';
import { done } from '../../ui/toast.tsx';
import { useNames } from './names.ts';
import { PickField } from './parts.tsx';
import { PreviewOf, usePreview, type Change } from './preview.tsx';

type Values = Pick<Rule, 'name' | 'enabled' | 'groups' | 'resources' | 'gateways'>;

const valuesOf = ({ name, enabled, groups, resources, gateways }: Rule): Values => ({
  name,
  enabled,
  groups,
  resources,
  gateways,
});

export default function RulePage(): JSX.Element {
  const { params } = useRoute();
  const { query: address } = useLocation();
  const id = params['id'] ?? '';
  // Each time that it has to begin anew from what the server holds.
  const [round, setRound] = useState(0);
  const rule = useQuery('getRule', { params: { ruleId: id } }, { enabled: id !== 'new' });
  const [removing, setRemoving] = useState(false);
  if (id === 'new') {
    const resource = address['resource'];
    return (
      <Page title={t.access.newRule} intro={t.access.ruleIntro}>
        <RuleForm
          initial={{
            name: '',
            enabled: true,
            groups: [],
            resources: resource === undefined ? [] : [resource],
            gateways: [],
          }}
          onStale={() => Promise.resolve()}
        />
      </Page>
    );
  }
  return (
    <Page
      title={rule.data?.name ?? t.access.rule}
      intro={t.access.ruleIntro}
      actions={
        rule.data &&
        may('policy:write') && (
          <Button kind="danger" onClick={() => setRemoving(true)}>
            {t.common.remove}
          </Button>
        )
      }
    >
      <Loaded query={rule}>
        {(data) => (
          <>
            {may('policy:write') ? (
              <RuleForm
                key={`${data.id} ${round}`}
                initial={valuesOf(data)}
                before={data}
                onStale={async () => {
                  await rule.refetch();
                  setRound(round + 1);
                }}
              />
            ) : (
              <RuleFacts rule={data} />
            )}
            {removing && <RemoveRule rule={data} onClose={() => setRemoving(false)} />}
          </>
        )}
      </Loaded>
    </Page>
  );
}

function RuleForm({
  initial,
  before: given,
  onStale,
}: {
  readonly initial: Values;
  /** The rule that is changed; undefined: it is a new one. */
  readonly before?: Rule;
  readonly onStale: () => Promise<unknown>;
}): JSX.Element {
  const { route } = useLocation();
  const names = useNames();
  const policy = useQuery('getPolicy');
  const [values, setValues] = useState(initial);
  // As it was when the form began: a change by somebody else is found out when it is saved.
  const [before] = useState(given);
  const complete = values.groups.length > 0 && values.resources.length > 0;
  // A name has no effect, so it may still be missing or taken.
  const own = { ...values, name: before?.name ?? 'new-rule-that-is-not-saved-yet' };
  const change: Change | undefined =
    policy.data === undefined || !complete
      ? undefined
      : { rules: [...policy.data.rules.filter(({ name }) => name !== own.name), own] };
  const preview = usePreview(change);
  const set = (changes: Partial<Values>): void => setValues({ ...values, ...changes });
  const toRules = (): void => route('/policy');

  const create = async (): Promise<void> => {
    const { id, name, version } = await call('createRule', { body: values });
    changed('rule');
    toRules();
    done(t.access.ruleCreated(name), async () => {
      await call('deleteRule', { params: { ruleId: id }, ifMatch: version });
      changed('rule');
    });
  };
  const update = async (rule: Rule): Promise<void> => {
    const params = { ruleId: rule.id };
    const result = await save(() => call('updateRule', { params, body: values, ifMatch: rule.version }), onStale);
    if (result === undefined) return;
    changed('rule');
    toRules();
    done(t.access.ruleSaved(values.name), async () => {
      await call('updateRule', { params, body: valuesOf(rule), ifMatch: result.saved.version });
      changed('rule');
    });
  };
  return (
    <Form
      submit={before === undefined ? t.access.createRule : t.access.saveRule}
      onCancel={toRules}
      onSubmit={() => (before === undefined ? create() : update(before))}
      disabled={!complete || preview.broken.length > 0}
    >
      <div class="with-preview">
        <Panel>
          <TextField
            name="name"
            label={t.access.ruleName}
            hint={t.access.nameHint}
            value={values.name}
            onChange={(name) => set({ name })}
            required
            autofocus={before === undefined}
          />
          <PickField
            name="groups"
            label={t.access.groups}
            values={values.groups}
            onChange={(groups) => set({ groups })}
            names={names.groups}
          />
          <PickField
            name="resources"
            label={t.access.resources}
            values={values.resources}
            onChange={(resources) => set({ resources })}
            names={names.resources}
          />
          <PickField
            name="gateways"
            label={t.access.gateways}
            values={values.gateways}
            onChange={(gateways) => set({ gateways })}
            names={names.gateways}
            hint={t.access.gatewaysHint}
            empty={t.access.noGateways}
          />
          <CheckField
            name="enabled"
            label={t.access.enabled}
            hint={t.access.ruleEnabledHint}
            value={values.enabled}
            onChange={(enabled) => set({ enabled })}
          />
        </Panel>
        <PreviewOf preview={preview} />
      </div>
    </Form>
  );
}

function RuleFacts({ rule }: { readonly rule: Rule }): JSX.Element {
  const names = useNames();
  const list = (ids: readonly string[], known: ReadonlyMap<string, string>): string =>
    ids.map((id) => known.get(id) ?? id).join(', ');
  return (
    <Panel>
      <Facts
        facts={[
          [t.access.state, rule.enabled ? t.access.enabled : t.access.disabled],
          [t.access.groups, list(rule.groups, names.groups)],
          [t.access.resources, list(rule.resources, names.resources)],
          [t.access.gateways, rule.gateways.length === 0 ? t.access.allGateways : list(rule.gateways, names.gateways)],
        ]}
      />
    </Panel>
  );
}

function RemoveRule({ rule, onClose }: { readonly rule: Rule; readonly onClose: () => void }): JSX.Element {
  const { route } = useLocation();
  const policy = useQuery('getPolicy');
  const preview = usePreview(policy.data && { rules: policy.data.rules.filter(({ name }) => name !== rule.name) });
  const submit = async (): Promise<void> => {
    await call('deleteRule', { params: { ruleId: rule.id }, ifMatch: rule.version });
    onClose();
    route('/policy', true);
    changed('rule');
    done(t.access.ruleRemoved(rule.name), async () => {
      await call('createRule', { body: valuesOf(rule) });
      changed('rule');
    });
  };
  return (
    <Dialog title={t.access.removeRuleTitle(rule.name)} onClose={onClose} wide>
      <Form
        submit={t.access.removeRule}
        danger
        onCancel={onClose}
        onSubmit={submit}
        disabled={preview.broken.length > 0}
      >
        <p>{t.access.removeRuleText}</p>
        <PreviewOf preview={preview} />
      </Form>
    </Dialog>
  );
}
