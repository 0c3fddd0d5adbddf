import { effect, signal } from '@preact/signals';

export type Theme = 'system' | 'light' | 'dark';

const key = 'sallyport-theme';

function stored(): Theme {
  const value = localStorage.getItem(key);
  return value === 'light' || value === 'dark' ? value : 'system';
}

export const theme = signal<Theme>(stored());

effect(() => {
  document.documentElement.dataset['theme'] = theme.value;
  if (theme.value === 'system') localStorage.removeItem(key);
  else localStorage.setItem(key, theme.value);
});

const systemIsDark = matchMedia('(prefers-color-scheme: dark)');
const dark = signal(systemIsDark.matches);
systemIsDark.onchange = () => (dark.value = systemIsDark.matches);

/** For what can't be coloured by style sheets, as canvases. */
export function isDark(): boolean {
  return theme.value === 'dark' || (theme.value === 'system' && dark.value);
}
