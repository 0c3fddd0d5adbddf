/** What a change of the policy would do, before it is made. */
import type { PolicyCheck } from '@sallyport/api';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { call, messageOf, type InputOf } from '../../api/call.ts';
import { ApiProblem } from '../../api/call.ts';
import { t } from '../../strings/index.ts';
import '../../styles/access.css';

export type Change = NonNullable<InputOf<'checkPolicy'>['body']>;

export interface Preview {
  readonly check: PolicyCheck | undefined;
  readonly busy: boolean;
  readonly error: unknown;
  /** Tests that the change would break; not those that fail already. */
  readonly broken: PolicyCheck['failingTests'];
}

const nothing: Preview = { check: undefined, busy: false, error: undefined, broken: [] };
const pauseMs = 400;

/** Undefined is nothing to ask about yet. Asks again when the change is another and has rested for a moment. */
export function usePreview(change: Change | undefined): Preview {
  const [preview, setPreview] = useState(nothing);
  const key = JSON.stringify(change);
  useEffect(() => {
    if (change === undefined) {
      setPreview(nothing);
      return;
    }
    let current = true;
    setPreview((before) => ({ ...before, busy: true }));
    const timer = setTimeout(() => {
      check(change).then(
        (answer) => {
          if (current) setPreview({ ...answer, busy: false, error: undefined });
        },
        (error: unknown) => {
          if (current) setPreview({ ...nothing, error });
        },
      );
    }, pauseMs);
    return () => {
      current = false;
      clearTimeout(timer);
    };
  }, [key]);
  return preview;
}

async function check(change: Change): Promise<Pick<Preview, 'check' | 'broken'>> {
  const answer = await call('checkPolicy', { body: change });
  if (answer.failingTests.length === 0) return { check: answer, broken: [] };
  const { failingTests: before } = await call('checkPolicy', { body: {} });
  const failed = new Set(before.map(({ name }) => name));
  return { check: answer, broken: answer.failingTests.filter(({ name }) => !failed.has(name)) };
}

export function PreviewOf({ preview }: { readonly preview: Preview }): JSX.Element {
  const { check: answer, busy, error, broken } = preview;
  const differences = answer?.differences ?? [];
  return (
    <section class="preview" aria-busy={busy} aria-label={t.access.previewTitle}>
      <h2>{t.access.previewTitle}</h2>
      <p class="hint" role="status">
        {busy
          ? t.access.previewBusy
          : answer === undefined
            ? error === undefined && t.access.previewWaiting
            : differences.length === 0 && t.access.previewSame}
      </p>
      {error !== undefined && <Refusal error={error} />}
      {broken.length > 0 && (
        <div class="fault" role="alert">
          <p>
            <strong>{t.access.failing(broken.length)}.</strong> {t.access.failingText}
          </p>
          <ul>
            {broken.map(({ name, explanation }) => (
              <li key={name}>
                <strong>{name}</strong>: {explanation}
              </li>
            ))}
          </ul>
        </div>
      )}
      <div class={busy ? 'stale' : undefined}>
        <Differences kind="gains" differences={differences} />
        <Differences kind="loses" differences={differences} />
        <Differences kind="changes" differences={differences} />
        {answer?.truncated === true && <p class="hint">{t.access.truncated}</p>}
      </div>
    </section>
  );
}

function Refusal({ error }: { readonly error: unknown }): JSX.Element {
  const faults = error instanceof ApiProblem ? (error.problem.faults ?? []) : [];
  return (
    <div class="fault" role="alert">
      <p>{faults.length === 0 ? messageOf(error) : faults.map(({ message }) => message).join('; ')}</p>
    </div>
  );
}

type Difference = PolicyCheck['differences'][number];

const signs = { gains: '+', loses: '−', changes: '~' } as const;
/** Users that are named for a resource; the others are counted. */
const MAX_NAMED = 30;

function Differences({
  kind,
  differences,
}: {
  readonly kind: Difference['change'];
  readonly differences: readonly Difference[];
}): JSX.Element | null {
  const own = differences.filter(({ change }) => change === kind);
  if (own.length === 0) return null;
  const lines = Map.groupBy(own, ({ resourceName, gateways }) => [resourceName, ...gateways].join('\n'));
  return (
    <div class={`differences ${kind}`}>
      <h3>{t.access[kind](own.length)}</h3>
      {kind === 'changes' && <p class="hint">{t.access.changesHint}</p>}
      <ul>
        {[...lines].map(([key, [first, ...more]]) => {
          if (first === undefined) return null;
          const users = [first, ...more].map(({ userName }) => userName);
          return (
            <li key={key}>
              <span class="sign" aria-hidden="true">
                {signs[kind]}
              </span>
              <span>
                {users.slice(0, MAX_NAMED).join(', ')}
                {users.length > MAX_NAMED && ` ${t.access.andMore(users.length - MAX_NAMED)}`}
                {' → '}
                <strong>{first.resourceName}</strong>
                {first.gateways.length > 0 && <span class="faint"> {t.access.through(first.gateways.join(', '))}</span>}
              </span>
            </li>
          );
        })}
      </ul>
    </div>
  );
}
