import type { JSX } from 'preact';
import { t } from '../../strings/index.ts';
import { Button } from '../../ui/button.tsx';
import { downloadText } from '../../ui/download.ts';
import { CopyButton } from '../../ui/parts.tsx';
import '../../styles/account.css';

const text = t.account.totp;

/** Recovery codes, this once, with the ways to keep them. */
export function RecoveryCodes({
  codes,
  onKept,
}: {
  readonly codes: readonly string[];
  readonly onKept: () => void;
}): JSX.Element {
  const all = codes.join('\n');
  return (
    <>
      <p>{text.codesText}</p>
      <ul class="recovery-codes" aria-label={text.codes} tabIndex={-1} autofocus>
        {codes.map((code) => (
          <li key={code} class="mono">
            {code}
          </li>
        ))}
      </ul>
      <div class="buttons">
        <CopyButton text={all} label={text.copy} />
        <Button small onClick={() => downloadText(text.file, 'text/plain', `${all}\n`)}>
          {t.common.download}
        </Button>
        <Button small onClick={() => print()}>
          {text.print}
        </Button>
      </div>
      <div class="actions">
        <Button kind="primary" onClick={onKept}>
          {text.kept}
        </Button>
      </div>
    </>
  );
}
