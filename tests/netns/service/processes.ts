import { readFileSync } from 'node:fs';
import { until } from '@sallyport/netlab';
import { commandLine } from '../server-world.ts';

type Part = 'control' | 'gateway' | 'helper';

/** The processes of a server as they are now: those that were started again have other numbers. */
export function processesOf(supervisor: number): Partial<Record<Part, number>> {
  const children = readFileSync(`/proc/${String(supervisor)}/task/${String(supervisor)}/children`, 'utf8');
  const found = children.split(' ').flatMap((pid): [string, number][] => {
    const name = /([a-z]+)-process\.ts$/.exec(commandLine(Number(pid)).find((word) => word.endsWith('.ts')) ?? '')?.[1];
    return name === undefined ? [] : [[name, Number(pid)]];
  });
  return Object.fromEntries(found);
}

/** Kills a part of a server and waits until it was started again; answers with the new number. */
export async function killPart(supervisor: number, part: Part): Promise<number> {
  const before = processesOf(supervisor)[part] ?? 0;
  if (before === 0) throw new Error(`the ${part} process does not run`);
  process.kill(before, 'SIGKILL');
  return until(`another ${part} process`, () => {
    const now = processesOf(supervisor)[part];
    return now !== before && now;
  });
}
