import type { Policy } from '@sallyport/api';
import type { JSX } from 'preact';
import { useId, useState } from 'preact/hooks';
import { call, type InputOf } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { save } from '../../api/save.ts';
import { t } from '../../strings/index.ts';
import { Dialog } from '../../ui/dialog.tsx';
import { Form } from '../../ui/form.tsx';
import { done } from '../../ui/toast.tsx';
import { PreviewOf, usePreview } from './preview.tsx';

type Sections = NonNullable<InputOf<'replacePolicy'>['body']>;

const ofSections = ({ resources, rules, tests }: Sections): Sections => ({ resources, rules, tests });

/** Replaces the whole policy by that of a file, after showing what that does. */
export function ImportPolicy({
  policy,
  refetch,
  onClose,
}: {
  readonly policy: Policy;
  readonly refetch: () => Promise<unknown>;
  readonly onClose: () => void;
}): JSX.Element {
  const [before] = useState(policy);
  const [sections, setSections] = useState<Sections | undefined>(undefined);
  const [faulty, setFaulty] = useState(false);
  const id = useId();
  const preview = usePreview(sections);
  const read = async (file: File | undefined): Promise<void> => {
    const found = file === undefined ? undefined : sectionsOf(await file.text());
    setSections(found);
    setFaulty(file !== undefined && found === undefined);
  };
  const submit = async (): Promise<void> => {
    if (sections === undefined) return;
    const result = await save(() => call('replacePolicy', { body: sections, ifMatch: before.version }), refetch);
    onClose();
    if (result === undefined) return;
    changed('resource', 'rule', 'policyTest');
    done(t.access.replaced, async () => {
      await call('replacePolicy', { body: ofSections(before), ifMatch: result.saved.version });
      changed('resource', 'rule', 'policyTest');
    });
  };
  return (
    <Dialog title={t.access.importTitle} onClose={onClose} wide>
      <Form
        submit={t.access.replace}
        danger
        onCancel={onClose}
        onSubmit={submit}
        disabled={preview.check === undefined || preview.busy || preview.broken.length > 0}
      >
        <p>{t.access.importText}</p>
        <div class="field">
          <label for={id}>{t.access.importFile}</label>
          <input
            id={id}
            type="file"
            accept=".json,application/json"
            onChange={({ currentTarget }) => void read(currentTarget.files?.[0])}
          />
        </div>
        {faulty && (
          <div class="fault" role="alert">
            {t.access.importFaulty}
          </div>
        )}
        {sections !== undefined && (
          <>
            <p>{t.access.importCounts(sections.resources.length, sections.rules.length, sections.tests.length)}</p>
            <PreviewOf preview={preview} />
          </>
        )}
      </Form>
    </Dialog>
  );
}

/** Only that the sections are there is found out here; the server checks all that is in them. */
function sectionsOf(text: string): Sections | undefined {
  try {
    const { resources, rules, tests } = JSON.parse(text) as Partial<Sections>;
    const isWhole = Array.isArray(resources) && Array.isArray(rules) && Array.isArray(tests);
    return isWhole ? ofSections({ resources, rules, tests }) : undefined;
  } catch {
    return undefined;
  }
}
