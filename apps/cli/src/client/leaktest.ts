import type { Command } from '../command.ts';
import { CommandFailure, EXIT_FAILED, requireRoot, tell } from '../command.ts';
import { ask } from './daemon.ts';
import { LEAK_CHECKS, type LeakCheck, type LeakWorld } from './leak-checks.ts';
import { outerInterfaces, outerNameServers } from './outer-network.ts';
import { printable, sign, styleFor, wrap, type Style } from './terminal.ts';

export const leaktest: Command = {
  name: 'leaktest',
  usage: '[--kill-daemon] [--json]',
  summary: 'try to make this machine leak, and report what left beside the tunnel',
  help: `Sends what must not leave this machine, in the ways that got past other VPNs, while the daemon watches every interface
but the tunnel's: to addresses that nobody has (RFC 5737), to the name servers and the router of your own network. With
sudo it also tries the attacks of a hostile network (TunnelVision, TunnelCrack), for which it adds an address and a
route for a second and takes them away again. What other programs send meanwhile is reported as well: they leak as much.
Without a connection it shows what would leave. Exit code 1 says that something leaked.

Options:
  --kill-daemon  with sudo: kill the daemon (-9) at the end, and see that nothing leaves; ends the connection
  --json         print JSON

Examples:
  sallyport leaktest
  sudo sallyport leaktest --kill-daemon`,
  options: ['kill-daemon', 'json'],
  arguments: [0, 0],
  async run(_words, options) {
    const json = options.has('json');
    const kill = options.has('kill-daemon');
    if (kill) requireRoot('leaktest --kill-daemon');
    const world = await lookAround();
    const style = styleFor(process.stdout);
    const { status } = world;
    if (status.state !== 'connected' && !json) {
      tell(
        `this machine is ${status.state}${status.state === 'disconnected' && status.killSwitch !== 'lockdown' ? ': what leaves now is as it has to be' : ''}`,
      );
    }
    const findings: Finding[] = [];
    const show = (finding: Finding): void => {
      findings.push(finding);
      if (!json) process.stdout.write(`${findingLines(finding, style, process.stdout.columns ?? 100).join('\n')}\n`);
    };
    for (const check of LEAK_CHECKS) show(await tryOne(check, world));
    if (kill) show(await tryKilling(world));
    const leaks = findings.filter(({ state }) => state === 'leak').length;
    const report = {
      leaks,
      state: status.state,
      interfaces: world.outer.map(({ name }) => name),
      checks: findings,
    };
    process.stdout.write(json ? `${JSON.stringify(report, undefined, 2)}\n` : `\n${verdict(findings)}\n`);
    return leaks > 0 ? EXIT_FAILED : 0;
  },
};

/** Of each check: long enough for what leaves late, as a second try of TCP. */
const WATCH_SECONDS = 2;

export interface Finding {
  readonly check: string;
  readonly state: 'ok' | 'leak' | 'skipped' | 'warning';
  readonly what: string;
  /** Why it was skipped. */
  readonly reason: string;
  /** What left: `udp 53 to 192.0.2.1 (2 packets)`. */
  readonly leaked: readonly string[];
}

async function lookAround(): Promise<LeakWorld> {
  const status = await ask('status', {});
  const settings = await ask('settings', {});
  return {
    status,
    settings,
    outer: outerInterfaces(),
    nameServers: outerNameServers().filter((server) => !status.dns.servers.includes(server)),
    isRoot: process.geteuid?.() === 0,
  };
}

async function tryOne({ check, what, skip, provoke }: LeakCheck, world: LeakWorld): Promise<Finding> {
  const reason = skip?.(world);
  if (reason !== undefined) return { check, state: 'skipped', what, reason, leaked: [] };
  const begun = Promise.withResolvers<boolean>();
  const onEvent = (): void => begun.resolve(true);
  const watching = ask('leakWatch', { seconds: WATCH_SECONDS }, { onEvent });
  // What leaves before it watches would not be seen. Its failure is told when somebody waits for it.
  watching.catch(() => undefined).finally(() => begun.resolve(false));
  if (!(await begun.promise)) {
    await watching;
    throw new CommandFailure(EXIT_FAILED, 'the daemon does not say when it watches: restart it (systemctl restart sallyport-client)'); // prettier-ignore
  }
  let own: readonly string[] = [];
  let failure = '';
  try {
    own = await provoke(world);
  } catch (error) {
    failure = `it could not be tried: ${error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)}`;
  }
  const seen = (await watching).leaked.map(({ what: kind, packets }) => counted(kind, packets));
  const leaked = [...own, ...seen];
  const state = leaked.length > 0 ? 'leak' : failure === '' ? 'ok' : 'warning';
  return { check, state, what, reason: failure, leaked };
}

async function tryKilling({ outer }: LeakWorld): Promise<Finding> {
  const { killDaemon } = await import('./killed-daemon.ts');
  const { leaked, returned } = await killDaemon(outer.map(({ name }) => name));
  return {
    check: 'killed daemon',
    what: 'what leaves when the daemon is killed',
    state: leaked.length > 0 ? 'leak' : returned ? 'ok' : 'warning',
    reason: returned ? '' : 'nothing started the daemon again: sudo systemctl enable --now sallyport-client',
    leaked: leaked.map(({ what, packets }) => counted(what, packets)),
  };
}

function counted(what: string, packets: number): string {
  return `${what} (${String(packets)} packet${packets === 1 ? '' : 's'})`;
}

const NAME_WIDTH = Math.max(...LEAK_CHECKS.map(({ check }) => check.length), 'killed daemon'.length);
const MAX_SHOWN = 8;

export function findingLines({ check, state, what, reason, leaked }: Finding, style: Style, columns: number): string[] {
  const head = `${sign(state, style)}  ${check.padEnd(NAME_WIDTH)}  `;
  const indent = ' '.repeat((style.unicode ? 2 : 0) + 7 + 2 + NAME_WIDTH + 2);
  const width = Math.max(30, columns - indent.length - 1);
  const [first = '', ...rest] = wrap(what, width);
  const below = [
    ...rest,
    ...(reason === '' ? [] : wrap(printable(reason), width)),
    ...leaked.slice(0, MAX_SHOWN).map((kind) => `left: ${printable(kind)}`),
    ...(leaked.length > MAX_SHOWN ? [`and ${String(leaked.length - MAX_SHOWN)} kinds more`] : []),
  ];
  return [`${head}${first}`.trimEnd(), ...below.map((line) => indent + line)];
}

function verdict(findings: readonly Finding[]): string {
  const count = (state: Finding['state']): number => findings.filter((finding) => finding.state === state).length;
  const leaks = count('leak');
  const skipped = count('skipped') === 0 ? '' : `; ${String(count('skipped'))} not tried`;
  const tried = findings.length - count('skipped');
  return leaks === 0
    ? `No leak found by ${String(tried)} tries${skipped}`
    : `This machine leaks: ${String(leaks)} of ${String(tried)} tries${skipped}`;
}
