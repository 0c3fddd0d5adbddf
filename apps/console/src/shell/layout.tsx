import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { useLocation } from 'preact-iso';
import { isOld, liveState } from '../api/events.ts';
import { may, session } from '../api/session.ts';
import { logOut } from '../api/sign-in.ts';
import { t } from '../strings/index.ts';
import { useAction } from '../ui/action.ts';
import { Button } from '../ui/button.tsx';
import { theme, type Theme } from '../ui/theme.ts';
import { administration, own, type Place } from './navigation.ts';

/** The frame of every page behind the login: menu, content, and what is to be said about the connection. */
export function Layout({ children }: { readonly children: ComponentChildren }): JSX.Element {
  const { path } = useLocation();
  const [open, setOpen] = useState(false);
  const { busy, run } = useAction();
  useEffect(() => setOpen(false), [path]);
  const places = administration.filter(({ permission }) => permission === undefined || may(permission));
  return (
    <div class="layout">
      <a class="skip" href="#content" target="_self">
        {t.shell.skip}
      </a>
      <div class="side">
        <header class="bar">
          <a class="brand" href="/">
            <img src="/favicon.svg" alt="" width="28" height="28" />
            {t.shell.product}
          </a>
          <button
            type="button"
            class="menu-button"
            aria-expanded={open}
            aria-controls="menu"
            onClick={() => setOpen(!open)}
          >
            {t.shell.menu}
          </button>
        </header>
        <div id="menu" class={open ? 'menu open' : 'menu'}>
          <nav aria-label={t.shell.menu}>
            <PlaceList title={t.shell.mine} places={own} path={path} />
            {places.length > 0 && <PlaceList title={t.shell.administration} places={places} path={path} />}
          </nav>
          <footer>
            <label class="filter">
              <span>{t.shell.theme}</span>
              <select
                value={theme.value}
                onChange={({ currentTarget }) => (theme.value = currentTarget.value as Theme)}
              >
                <option value="system">{t.shell.system}</option>
                <option value="light">{t.shell.light}</option>
                <option value="dark">{t.shell.dark}</option>
              </select>
            </label>
            <p class="who">{session.value?.user.displayName || session.value?.user.name}</p>
            <Button small busy={busy} onClick={() => run(logOut)}>
              {t.shell.logOut}
            </Button>
          </footer>
        </div>
      </div>
      <main id="content" tabIndex={-1}>
        <Notices />
        {children}
      </main>
    </div>
  );
}

function PlaceList({
  title,
  places,
  path,
}: {
  readonly title: string;
  readonly places: readonly Place[];
  readonly path: string;
}): JSX.Element {
  return (
    <>
      <h2>{title}</h2>
      <ul>
        {places.map((place) => (
          <li key={place.path}>
            <a
              href={place.path}
              aria-current={path === place.path || path.startsWith(`${place.path}/`) ? 'page' : undefined}
            >
              {place.label}
            </a>
          </li>
        ))}
      </ul>
    </>
  );
}

/** The live connection may be late at the start of a page; only one that is lost for this long is worth a word. */
const patienceMs = 4000;

function Notices(): JSX.Element {
  const waiting = liveState.value === 'waiting';
  const [lost, setLost] = useState(false);
  useEffect(() => {
    setLost(false);
    if (!waiting) return;
    const timer = setTimeout(() => setLost(true), patienceMs);
    return () => clearTimeout(timer);
  }, [waiting]);
  return (
    <div role="status">
      {lost && <p class="notice">{t.shell.notLive}</p>}
      {isOld.value && (
        <p class="notice">
          {t.shell.old}{' '}
          <Button small onClick={() => location.reload()}>
            {t.shell.reload}
          </Button>
        </p>
      )}
    </div>
  );
}
