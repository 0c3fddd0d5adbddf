import { spawn, type ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { until } from '@sallyport/netlab';
import type { RigCommand, RigOptions } from './gateway-rig.ts';

const RIG = fileURLToPath(new URL('./gateway-rig.ts', import.meta.url));

export type Told = Readonly<Record<string, unknown>> & { readonly kind: string };

/** The gateway's processes in a namespace, and what they tell. */
export class RunningRig {
  readonly told: Told[] = [];
  readonly child: ChildProcess;

  constructor(namespace: string, directory: string, interfaceName: string, uid: number, more: RigOptions = {}) {
    const argv = [
      'netns',
      'exec',
      namespace,
      process.execPath,
      RIG,
      directory,
      interfaceName,
      String(uid),
      JSON.stringify(more),
    ];
    this.child = spawn('ip', argv, { stdio: ['pipe', 'pipe', 'inherit'] });
    if (this.child.stdout !== null)
      createInterface({ input: this.child.stdout }).on('line', (line) => this.told.push(JSON.parse(line) as Told));
  }

  say(command: RigCommand): void {
    this.child.stdin?.write(`${JSON.stringify(command)}\n`);
  }

  /** The newest of this kind that came after the first `after` of all. */
  async next(kind: string, after = 0): Promise<Told> {
    const find = () => this.told.slice(after).findLast((message) => message.kind === kind);
    await until(`the gateway to say "${kind}"`, () => Promise.resolve(find() !== undefined));
    return find() as Told;
  }
}
