import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

interface ProcessStatus {
  readonly pid: number;
  readonly parent: number;
  readonly ticks: number;
  readonly residentPages: number;
}

let perSecond: number | undefined;
let pageSize: number | undefined;

/** Processor time in seconds, user and system, of all threads of a process and its living descendants. */
export function cpuSeconds(pid: number): number {
  perSecond ??= Number(execFileSync('getconf', ['CLK_TCK'], { encoding: 'utf8' }));
  return processTree(pid).reduce((sum, { ticks }) => sum + ticks, 0) / perSecond;
}

/** Resident memory in bytes of a process and its living descendants. */
export function residentBytes(pid: number): number {
  pageSize ??= Number(execFileSync('getconf', ['PAGESIZE'], { encoding: 'utf8' }));
  return processTree(pid).reduce((sum, { residentPages }) => sum + residentPages, 0) * pageSize;
}

function processTree(root: number): ProcessStatus[] {
  const all = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((name) => readStatus(Number(name)))
    .filter((status) => status !== undefined);
  const tree = all.filter(({ pid }) => pid === root);
  // The list grows while it is walked: a process's children come behind it.
  for (const { pid } of tree) tree.push(...all.filter(({ parent }) => parent === pid));
  return tree;
}

function readStatus(pid: number): ProcessStatus | undefined {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, 'utf8');
    // The program's name, in parentheses, may hold anything; state is the first field behind it (proc(5), field 3).
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const field = (number: number) => Number(fields[number - 3]);
    return { pid, parent: field(4), ticks: field(14) + field(15), residentPages: field(24) };
  } catch {
    return undefined;
  }
}
