import type { PolicyTest } from '@sallyport/api';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { save } from '../../api/save.ts';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { Form, SelectField, TextField } from '../../ui/form.tsx';
import { Badge } from '../../ui/parts.tsx';
import { done } from '../../ui/toast.tsx';
import { useNames } from './names.ts';
import { usePreview } from './preview.tsx';

type Protocol = PolicyTest['protocol'];
type Expect = PolicyTest['expect'];

interface Draft {
  readonly name: string;
  readonly user: string;
  readonly destination: string;
  readonly protocol: Protocol;
  readonly port: string;
  readonly gateway: string;
  readonly expect: Expect;
}

/** Users are looked up by what is typed. */
const MAX_SUGGESTED = 20;

export function TestDialog({
  test,
  userName,
  refetch,
  onClose,
}: {
  /** What is changed; undefined: it is a new one. */
  readonly test: PolicyTest | undefined;
  readonly userName: string;
  readonly refetch: () => Promise<unknown>;
  readonly onClose: () => void;
}): JSX.Element {
  const [draft, setDraft] = useState<Draft>({
    name: test?.name ?? '',
    user: userName,
    destination: test?.destination ?? '',
    protocol: test?.protocol ?? 'tcp',
    port: test?.port == null ? '' : String(test.port),
    gateway: test?.gatewayId ?? '',
    expect: test?.expect ?? 'allow',
  });
  const { gateways } = useNames();
  const policy = useQuery('getPolicy');
  const set = (changes: Partial<Draft>): void => setDraft({ ...draft, ...changes });
  const { protocol, expect } = draft;
  const body = {
    name: draft.name,
    user: draft.user.trim(),
    destination: draft.destination.trim(),
    protocol,
    port: protocol === 'icmp' || draft.port.trim() === '' ? null : Number(draft.port),
    gateway: draft.gateway === '' ? null : draft.gateway,
    expect,
  };
  const complete = body.user !== '' && body.destination !== '' && (protocol === 'icmp' || (body.port ?? 0) > 0);
  // By itself, so that its result is not among those of others.
  const preview = usePreview(complete && policy.data ? { tests: [{ ...body, name: body.name || '-' }] } : undefined);
  const failing = preview.check?.failingTests[0];
  const submit = async (): Promise<void> => {
    if (test === undefined) {
      const { id, name, version } = await call('createPolicyTest', { body });
      changed('policyTest');
      onClose();
      done(t.access.testSaved(name), async () => {
        await call('deletePolicyTest', { params: { policyTestId: id }, ifMatch: version });
        changed('policyTest');
      });
      return;
    }
    const params = { policyTestId: test.id };
    const result = await save(() => call('updatePolicyTest', { params, body, ifMatch: test.version }), refetch);
    onClose();
    if (result === undefined) return;
    changed('policyTest');
    done(t.access.testSaved(body.name), async () => {
      const { name, userId: user, destination, port, gatewayId: gateway } = test;
      const before = { name, user, destination, protocol: test.protocol, port, gateway, expect: test.expect };
      await call('updatePolicyTest', { params, body: before, ifMatch: result.saved.version });
      changed('policyTest');
    });
  };
  return (
    <Dialog title={test === undefined ? t.access.addTest : t.access.editTest(test.name)} onClose={onClose} wide>
      <Form submit={t.access.saveTest} onCancel={onClose} onSubmit={submit} disabled={failing !== undefined}>
        <TextField
          name="name"
          label={t.access.testName}
          hint={t.access.testNameHint}
          value={draft.name}
          onChange={(name) => set({ name })}
          required
          autofocus
        />
        <div class="ask">
          <UserField value={draft.user} onChange={(user) => set({ user })} />
          <SelectField
            name="expect"
            label={t.access.expectation}
            value={expect}
            onChange={(value) => set({ expect: value as Expect })}
            options={[
              { value: 'allow', label: t.access.expect.allow },
              { value: 'deny', label: t.access.expect.deny },
            ]}
          />
        </div>
        <TargetFields values={draft} onChange={set} gateways={gateways} />
        <div role="status">
          {preview.busy ? (
            <p class="hint">{t.access.previewBusy}</p>
          ) : failing !== undefined ? (
            <p>
              <Badge tone="bad">{t.access.fails}</Badge> {t.access.wouldFail} {failing.explanation}
            </p>
          ) : (
            preview.check !== undefined && (
              <p>
                <Badge tone="good">{t.access.passes}</Badge> {t.access.wouldPass}
              </p>
            )
          )}
        </div>
      </Form>
    </Dialog>
  );
}

/** A user by name, with those who have such a name. */
export function UserField({
  value,
  onChange,
}: {
  readonly value: string;
  readonly onChange: (value: string) => void;
}): JSX.Element {
  const [search, setSearch] = useState(value);
  useEffect(() => {
    const timer = setTimeout(() => setSearch(value), 250);
    return () => clearTimeout(timer);
  }, [value]);
  const users = useQuery(
    'listUsers',
    { query: { limit: MAX_SUGGESTED, ...(search === '' ? {} : { search }) } },
    { keepPrevious: true },
  );
  const options = users.data?.items.map(({ name, displayName }) => ({ value: name, label: displayName })) ?? [];
  return (
    <TextField name="user" label={t.access.user} value={value} onChange={onChange} suggestions={options} required />
  );
}

interface Target {
  readonly destination: string;
  readonly protocol: Protocol;
  readonly port: string;
  readonly gateway: string;
}

/** Destination, protocol, port and gateway. */
export function TargetFields({
  values: { destination, protocol, port, gateway },
  onChange,
  gateways,
}: {
  readonly values: Target;
  readonly onChange: (changes: Partial<Target>) => void;
  readonly gateways: ReadonlyMap<string, string>;
}): JSX.Element {
  return (
    <div class="ask">
      <TextField
        name="destination"
        label={t.access.destination}
        hint={t.access.destinationHint}
        value={destination}
        onChange={(value) => onChange({ destination: value })}
        required
      />
      <SelectField
        name="protocol"
        label={t.access.protocol}
        value={protocol}
        onChange={(value) => onChange({ protocol: value as Protocol })}
        options={(['tcp', 'udp', 'icmp'] as const).map((one) => ({ value: one, label: t.access.protocols[one] }))}
      />
      {protocol !== 'icmp' && (
        <TextField
          name="port"
          label={t.access.port}
          inputmode="numeric"
          value={port}
          onChange={(value) => onChange({ port: value })}
          required
        />
      )}
      <SelectField
        name="gateway"
        label={t.access.gateway}
        value={gateway}
        onChange={(value) => onChange({ gateway: value })}
        options={[
          { value: '', label: t.access.anyGateway },
          ...[...gateways].map(([value, label]) => ({ value, label })),
        ]}
      />
    </div>
  );
}
