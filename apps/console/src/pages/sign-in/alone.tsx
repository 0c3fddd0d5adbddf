import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { t } from '../../strings/index.ts';
import { Panel } from '../../ui/page.tsx';
import '../../styles/sign-in.css';

/** The frame of pages for who isn't logged in. Puts the cursor into the field that is marked so, each time the title changes. */
export function Alone({
  title,
  intro,
  children,
}: {
  readonly title: string;
  readonly intro?: ComponentChildren;
  readonly children: ComponentChildren;
}): JSX.Element {
  const frame = useRef<HTMLElement>(null);
  useEffect(() => {
    document.title = `${title} · ${t.shell.product}`;
    frame.current?.querySelector<HTMLElement>('[autofocus]')?.focus();
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
