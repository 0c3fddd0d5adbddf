import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { ApiProblem, messageOf } from '../api/call.ts';
import { t } from '../strings/index.ts';
import { Button } from './button.tsx';

/** A page: its title (of the window as well), what can be done there, and its content. */
export function Page({
  title,
  intro,
  actions,
  children,
}: {
  readonly title: string;
  readonly intro?: ComponentChildren;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}): JSX.Element {
  const heading = useRef<HTMLHeadingElement>(null);
  useEffect(() => {
    document.title = `${title} · ${t.shell.product}`;
  }, [title]);
  useEffect(() => {
    // Screen readers hear that another page is there; the focus would stay on the link that led here.
    heading.current?.focus({ preventScroll: true });
  }, []);
  return (
    <>
      <header class="page-header">
        <div>
          <h1 ref={heading} tabIndex={-1}>
            {title}
          </h1>
          {intro !== undefined && <p class="intro">{intro}</p>}
        </div>
        {actions !== undefined && <div class="page-actions">{actions}</div>}
      </header>
      {children}
    </>
  );
}

export interface Loadable<T> {
  readonly data: T | undefined;
  readonly error: unknown;
  readonly refetch: () => Promise<unknown>;
}

/** The content of what was asked for, or that it is on its way, or what failed. What was shown before stays on a failure. */
export function Loaded<T>({
  query,
  children,
}: {
  readonly query: Loadable<T>;
  readonly children: (data: T) => ComponentChildren;
}): JSX.Element {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error instanceof ApiProblem && query.error.problem.code === 'notFound') {
    return <Empty title={query.error.message}>{t.shell.notFoundText}</Empty>;
  }
  if (query.error != null) {
    return (
      <div class="fault" role="alert">
        <p>
          <strong>{t.common.failed}.</strong> {messageOf(query.error)}
        </p>
        <Button onClick={query.refetch}>{t.common.retry}</Button>
      </div>
    );
  }
  return (
    <p class="loading" role="status">
      {t.common.loading}
    </p>
  );
}

/** Where nothing is: what this place is for, and what to do first. */
export function Empty({
  title,
  children,
  action,
}: {
  readonly title: string;
  readonly children?: ComponentChildren;
  readonly action?: ComponentChildren;
}): JSX.Element {
  return (
    <div class="empty">
      <h2>{title}</h2>
      {children !== undefined && <p>{children}</p>}
      {action}
    </div>
  );
}

/** A part of a page, in a frame. */
export function Panel({
  title,
  actions,
  children,
}: {
  readonly title?: string;
  readonly actions?: ComponentChildren;
  readonly children: ComponentChildren;
}): JSX.Element {
  return (
    <section class="panel">
      {(title !== undefined || actions !== undefined) && (
        <header>
          {title !== undefined && <h2>{title}</h2>}
          {actions}
        </header>
      )}
      {children}
    </section>
  );
}
