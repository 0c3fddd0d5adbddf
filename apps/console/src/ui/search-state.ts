import { useLocation } from 'preact-iso';

/** Parameters of the page's address, where search, filters and pages live; and what sets some of them. */
export function useSearchState(): [
  Readonly<Record<string, string>>,
  (changes: Readonly<Record<string, string>>) => void,
] {
  const { path, query, route } = useLocation();
  const set = (changes: Readonly<Record<string, string>>): void => {
    const search = new URLSearchParams(location.search);
    for (const [name, value] of Object.entries(changes)) {
      if (value === '') search.delete(name);
      else search.set(name, value);
    }
    route(path + (search.size > 0 ? `?${search}` : ''), true);
  };
  return [query, set];
}
