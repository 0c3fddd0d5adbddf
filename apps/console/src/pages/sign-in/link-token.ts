import { signal } from '@preact/signals';

/**
 * The token of a one-time link, which stands behind the "#": browsers send that to nobody. It is taken out of the address,
 * so that it stays in neither the address bar nor the history. Empty where there was none.
 */
export const linkToken = signal('');

function take(): void {
  const token = location.hash.slice(1);
  if (token === '') return;
  linkToken.value = token;
  history.replaceState(null, '', location.pathname + location.search);
}

take();
// Another link that is put into the same window loads no page.
addEventListener('hashchange', take);
