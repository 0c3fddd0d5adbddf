import type { JSX } from 'preact';
import '../styles/tabs.css';

export interface Tab {
  readonly href: string;
  readonly label: string;
  readonly current: boolean;
}

/** Parts of a page that are shown one at a time, each at an address of its own. */
export function Tabs({ label, tabs }: { readonly label: string; readonly tabs: readonly Tab[] }): JSX.Element {
  return (
    <nav class="tabs" aria-label={label}>
      {tabs.map((tab) => (
        <a key={tab.href} href={tab.href} aria-current={tab.current ? 'page' : undefined}>
          {tab.label}
        </a>
      ))}
    </nav>
  );
}
