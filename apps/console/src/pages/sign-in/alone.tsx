import type { ComponentChildren, JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { t } from '../../strings/index.ts';
import { useFocus } from '../../ui/focus.ts';
import { Panel } from '../../ui/page.tsx';
import '../../styles/sign-in.css';

/** The frame of pages for who isn't logged in. */
export function Alone({
  title,
  intro,
  step,
  children,
}: {
  readonly title: string;
  readonly intro?: ComponentChildren;
  /** With each the cursor goes to its first field; the title where there is none. */
  readonly step?: string;
  readonly children: ComponentChildren;
}): JSX.Element {
  const frame = useFocus<HTMLElement>(step ?? title);
  useEffect(() => {
    document.title = `${title} · ${t.shell.product}`;
  }, [title]);
  return (
    <main class="alone" ref={frame}>
      <p class="brand">
        <img src="/favicon.svg" alt="" width="32" height="32" />
        {t.shell.product}
      </p>
      <Panel>
        <h1>{title}</h1>
        {intro !== undefined && <p class="faint">{intro}</p>}
        {children}
      </Panel>
    </main>
  );
}
