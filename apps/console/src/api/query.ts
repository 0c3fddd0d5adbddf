/** Answers of the API, kept while pages show them, and asked for again when the server says that they changed. */
import { QueryClient, QueryObserver, type QueryObserverResult } from '@tanstack/query-core';
import { useEffect, useState } from 'preact/hooks';
import { ApiProblem, callAny, type InputOf, type OutputOf, type RouteId } from './call.ts';

const maxRetries = 3;

export const queries = new QueryClient({
  defaultOptions: {
    queries: {
      // Changes come as events; this is for what none is sent for, as last handshakes.
      staleTime: 30_000,
      refetchOnWindowFocus: true,
      retry: (failures, error) => failures < maxRetries && !(error instanceof ApiProblem && error.problem.status < 500),
    },
  },
});
queries.mount();

export interface QueryOptions {
  /** False waits. */
  readonly enabled?: boolean;
  /** Milliseconds. */
  readonly refetchEvery?: number;
  /** Show the answer of the question before while the next is on its way: for tables whose filter changes. */
  readonly keepPrevious?: boolean;
}

/** What is kept of a route's answers is worth nothing any more, and not to be shown meanwhile either. */
export function forget(id: RouteId): void {
  queries.removeQueries({ queryKey: [id] });
}

/** The answer of a GET route. Renders again when it changes. */
export function useQuery<I extends RouteId>(
  id: I,
  input: InputOf<I> | Readonly<Record<string, never>> = {},
  { enabled = true, refetchEvery, keepPrevious = false }: QueryOptions = {},
): QueryObserverResult<OutputOf<I>> {
  const options = {
    queryKey: [id, input] as const,
    queryFn: async ({ signal }: { signal: AbortSignal }) =>
      // The library takes undefined for a fault.
      ((await callAny(id, { ...(input as object), signal })) ?? null) as OutputOf<I>,
    enabled,
    ...(refetchEvery === undefined ? {} : { refetchInterval: refetchEvery }),
    ...(keepPrevious ? { placeholderData: (before: OutputOf<I> | undefined) => before } : {}),
  };
  const [observer] = useState(() => new QueryObserver<OutputOf<I>>(queries, options as never));
  const [, render] = useState({});
  const result = observer.getOptimisticResult(queries.defaultQueryOptions(options as never)) as QueryObserverResult<
    OutputOf<I>
  >;
  useEffect(() => observer.subscribe(() => render({})), [observer]);
  useEffect(() => {
    observer.setOptions(options as never);
  }, [observer, JSON.stringify(options.queryKey), enabled, refetchEvery]);
  return result;
}
