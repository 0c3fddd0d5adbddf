import { PERMISSIONS, type RouteContract } from '@sallyport/api';
import type { RouteImplementation } from './implement.ts';

export interface Declared {
  readonly contract: RouteContract;
  readonly serve: RouteImplementation['serve'];
}

/** Joins contracts and what serves them. Throws an error that names every fault: nothing may be served by an oversight. */
export function checkDeclarations(
  contracts: readonly RouteContract[],
  implementations: readonly RouteImplementation[],
): readonly Declared[] {
  const faults: string[] = [];
  const serving = new Map<RouteContract, RouteImplementation['serve']>();
  for (const { contract, serve } of implementations) {
    if (serving.has(contract)) faults.push(`${contract.id} is implemented twice`);
    if (!contracts.includes(contract)) faults.push(`${contract.id} is implemented, but no contract of the API`);
    serving.set(contract, serve);
  }
  const ids = new Set<string>();
  const places = new Set<string>();
  const declared: Declared[] = [];
  for (const contract of contracts) {
    if (ids.has(contract.id)) faults.push(`two contracts have the id ${contract.id}`);
    ids.add(contract.id);
    const place = `${contract.method} ${contract.path.replace(/\{\w+\}/g, '{}')}`;
    if (places.has(place)) faults.push(`two contracts are at ${place}`);
    places.add(place);
    if (!known.has(contract.permission)) faults.push(`${contract.id} declares no permission that there is`);
    if (contract.client === true && contract.permission !== 'self' && contract.permission !== 'enrol') {
      faults.push(`${contract.id} is for clients, which have no permission but self`);
    }
    const inPath = [...contract.path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name).sort();
    const inParams = Object.keys(contract.params?.shape ?? {}).sort();
    if (inPath.join() !== inParams.join()) {
      faults.push(
        `${contract.id} has the parameters ${inPath.join()} in its path but ${inParams.join()} in its params`,
      );
    }
    if (contract.method === 'GET' && contract.body !== undefined) faults.push(`${contract.id} is a GET with a body`);
    const serve = serving.get(contract);
    if (serve === undefined) faults.push(`${contract.id} is not implemented`);
    else declared.push({ contract, serve });
  }
  if (faults.length > 0) throw new Error(`The API doesn't start: ${faults.join('; ')}`);
  return declared.sort((a, b) => parameters(a) - parameters(b));
}

const known: ReadonlySet<string> = new Set([...PERMISSIONS, 'public', 'self', 'enrol']);

/** Fixed paths come before those with parameters, so that `/invitations/accept` is no invitation's id. */
function parameters({ contract }: Declared): number {
  return contract.path.split('{').length;
}
