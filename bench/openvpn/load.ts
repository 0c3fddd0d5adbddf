/** Many clients of an OpenVPN server, in a process of their own. */
import type { NetworkNamespace, Process } from '@sallyport/netlab';
import { ourProgram, saying, type End } from './ends.ts';
import type { LoadOrder, LoadReport } from './login-load.ts';

export interface Load {
  readonly report: LoadReport;
  readonly process: Process;
}

/** Logs in; who came in stays until the process ends. Throws where more than one in a hundred did not. */
export async function logIn(
  near: NetworkNamespace,
  server: End,
  order: Omit<LoadOrder, 'server'>,
  core?: string,
): Promise<Load> {
  const bound = core === undefined ? [] : ['taskset', '--cpu-list', core];
  const program = ourProgram('login-load.ts', { ...order, server: server.pids } satisfies LoadOrder, near.laboratory);
  const process = await near.start([...bound, ...program]);
  const report = JSON.parse(await saying(process, '\n', order.timeoutMs)) as LoadReport;
  if (report.connected < 0.99 * order.logins) throw new Error(`too many logins failed: ${JSON.stringify(report)}`);
  return { report, process };
}
