/**
 * Runs the test files below tests/, or those that the arguments name (files or folders), as one run with one report.
 *
 * First those that wait for browsers and databases, side by side; then those that build network namespaces, four at a
 * time, for they wait more than they work; then those that tell moments, three at a time. Beside all these, with what they
 * leave of the processors, run those that only compute. Those that measure come last, alone, so that the machine is theirs.
 * With CI=true a skipped test is a fault: nothing may pass there by not having been run.
 */
import { existsSync, globSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, relative, resolve } from 'node:path';
import { Readable } from 'node:stream';
import { run } from 'node:test';
import { spec } from 'node:test/reporters';

const root = resolve(import.meta.dirname, '..');
const fileTimeoutMs = 10 * 60_000;
/** Folders of tests/ whose files use network namespaces or compete for the machine. */
const networkAreas = ['demo', 'faults', 'interop', 'netns'];
/** Folders, and files beside them, that compute and wait for nothing by the clock. */
const patientAreas = ['core', 'gateway', 'policy', 'simulation', 'tunnel-service', 'wire', 'wireguard'];
const patientFiles = pathsOf([
  'cli/client-reference',
  'cli/command-line',
  'cli/service-commands',
  'client/model',
  'control/access-devices',
  'control/access-policy',
  'control/api-input',
  'control/api-permissions',
  'control/audit',
  'control/auth-access',
  'control/auth-passkey',
  'control/auth-second-factor',
  'control/auth-step-up',
  'control/client-routes',
  'control/console-files',
  'control/device-authorization',
  'control/device-filters',
  'control/gateways-routes',
  'control/housekeeping',
  'control/live-overview',
  'control/oidc-login',
  'control/oidc-providers',
  'control/oidc-step-up',
  'control/openvpn-devices',
  'control/openvpn-tokens',
  'control/scim-conformance',
  'control/scim-filter',
  'control/store-migrations',
  'control/usage',
  'openvpn/conformance',
  'openvpn/simulation',
  'uapi/fuzz',
]);
/** Files of theirs whose proof is a moment or a low rate, and which wait for timers most of the time. */
const calmFiles = pathsOf([
  'faults/service-control',
  'netns/client-demo',
  'netns/faults',
  'netns/service-cut-off',
  'netns/service-limits',
]);
/** Files of theirs whose proof is a high rate, that no packet is lost, or that nothing is left on the machine. */
const aloneFiles = pathsOf([
  'netns/demo',
  'netns/firewall-rates',
  'netns/firewall-under-load',
  'netns/interop-traffic',
  'netns/privileged-flush',
]);
/**
 * Those that take longest begin first, in this order: one that began last would run on with nothing beside it. Among them
 * those that wait (OpenVPN's) stand between those that work.
 */
const longFiles = pathsOf([
  'console/live',
  'console/pages',
  'client/firewall-kernel',
  'console/hostile',
  'console/openvpn',
  'console/keyboard',
  'console/sign-in',
  'cli/client-commands',
  'control/live-events',
  'control/api-input',
  'simulation/wireguard-weeks',
  'cli/service-commands',
  'client/model',
  'cli/command-line',
  'netns/openvpn-up',
  'netns/server',
  'netns/openvpn-releases',
  'netns/client-leaks',
  'netns/openvpn-clients',
  'netns/wg-up',
  'netns/openvpn-server',
  'netns/client-everyday',
  'faults/service-storage',
  'netns/service-demo',
  'netns/client-networks',
  'faults/service-gateway',
  'netns/openvpn3-clients',
  'netns/client-daemon',
  'netns/openvpn-demo',
  'netns/interop-amneziawg',
  'netns/service-gateways',
  'faults/service-control',
  'netns/service-cut-off',
  'netns/faults',
  'netns/service-limits',
]);

function pathsOf(names: readonly string[]): string[] {
  const paths = names.map((name) => join(root, 'tests', `${name}.test.ts`));
  for (const path of paths) if (!existsSync(path)) throw new Error(`there is no ${path}`);
  return paths;
}

/** Options of Node's for files that leave the processors to what runs beside them. */
const giveWay = ['--import', 'data:text/javascript,import{setPriority}from"node:os";setPriority(19)'];

// For the many processes that the tests start: Node need not compile the same files for each of them.
process.env['NODE_COMPILE_CACHE'] = join(root, 'node_modules/.cache/node-compile-cache');

const counterNames = ['tests', 'suites', 'passed', 'failed', 'cancelled', 'skipped', 'todo'] as const;
/** The words that the runner's closing lines use for its own counters. */
const closingWords = { passed: 'pass', failed: 'fail' } as Record<string, string>;
const closingLine = /^(tests|suites|pass|fail|cancelled|skipped|todo|duration_ms) [\d.]+$/;

const totals = { tests: 0, suites: 0, passed: 0, failed: 0, cancelled: 0, skipped: 0, todo: 0 };
const skipped: string[] = [];
/** How long the tests of each file took together, in milliseconds. */
const durations = new Map<string, number>();
const SLOWEST = 15;
let succeeded = true;

/** The events of one run over `files`, without its closing lines, which are added up in `totals`. */
async function* runPhase(files: string[], concurrency: number, execArgv: string[]): AsyncGenerator<object> {
  if (files.length === 0) return;
  for await (const event of run({ files, concurrency, execArgv, timeout: fileTimeoutMs, cwd: root }) as AsyncIterable<{
    type: string;
    data: {
      file?: string;
      name?: string;
      nesting?: number;
      skip?: string | boolean;
      message?: string;
      details?: { duration_ms: number };
    };
  }>) {
    const { type, data } = event;
    const ofWholeRun = data.file === undefined;
    if (type === 'test:diagnostic' && ofWholeRun && closingLine.test(data.message ?? '')) continue;
    if (type === 'test:summary' && ofWholeRun) {
      const { counts, success } = data as unknown as { counts: typeof totals; success: boolean };
      for (const name of counterNames) totals[name] += counts[name];
      succeeded &&= success;
      continue;
    }
    if ((type === 'test:pass' || type === 'test:fail') && data.nesting === 0 && data.file !== undefined)
      durations.set(data.file, (durations.get(data.file) ?? 0) + (data.details?.duration_ms ?? 0));
    if (type === 'test:pass' && data.skip !== undefined && data.skip !== false) {
      const reason = typeof data.skip === 'string' && data.skip !== '' ? ` (${data.skip})` : '';
      skipped.push(`${relative(root, data.file ?? '')}: ${data.name ?? ''}${reason}`);
    }
    yield event;
  }
}

async function* runAll(files: string[]): AsyncGenerator<object> {
  const start = performance.now();
  const phases = Object.groupBy(files, phaseOf);
  const seconds: string[] = [];
  async function* phase(name: Phase, concurrency: number, execArgv: string[] = []): AsyncGenerator<object> {
    const begun = performance.now();
    yield* runPhase(phases[name] ?? [], concurrency, execArgv);
    seconds.push(`${name} ${((performance.now() - begun) / 1000).toFixed(0)}`);
  }
  // A report holds one file after the other.
  const patient = collect(phase('patient', availableParallelism(), giveWay));
  patient.catch(() => undefined);
  yield* phase('parallel', availableParallelism() + 1);
  yield* phase('networks', 4);
  yield* phase('calm', 3);
  yield* await patient;
  yield* phase('alone', 1);
  const lines = counterNames.map((name) => `${closingWords[name] ?? name} ${String(totals[name])}`);
  lines.push(
    `duration_ms ${(performance.now() - start).toFixed(0)}`,
    `in seconds: ${seconds.join(', ')}; the slowest files:`,
  );
  const slowest = [...durations].sort(([, a], [, b]) => b - a).slice(0, SLOWEST);
  for (const [file, ms] of slowest) lines.push(`${(ms / 1000).toFixed(1).padStart(7)}  ${relative(root, file)}`);
  for (const message of lines) yield { type: 'test:diagnostic', data: { nesting: 0, message, level: 'info' } };
}

type Phase = 'parallel' | 'patient' | 'networks' | 'calm' | 'alone';

function phaseOf(file: string): Phase {
  const isIn = (areas: readonly string[]): boolean =>
    areas.some((area) => file.startsWith(join(root, 'tests', area, '/')));
  if (aloneFiles.includes(file)) return 'alone';
  if (calmFiles.includes(file)) return 'calm';
  if (isIn(networkAreas)) return 'networks';
  return patientFiles.includes(file) || isIn(patientAreas) ? 'patient' : 'parallel';
}

async function collect(events: AsyncIterable<object>): Promise<object[]> {
  const all: object[] = [];
  for await (const event of events) all.push(event);
  return all;
}

function rank(file: string): number {
  const at = longFiles.indexOf(file);
  return at < 0 ? longFiles.length : at;
}

const wanted = process.argv.slice(2).map((path) => resolve(path));
const files = globSync('tests/**/*.test.ts', { cwd: root })
  .map((file) => join(root, file))
  .filter((file) => wanted.length === 0 || wanted.some((path) => file === path || file.startsWith(join(path, '/'))))
  .sort()
  .sort((one, other) => rank(one) - rank(other));
if (files.length === 0) {
  console.error('scripts/test: no test file matches; they are named tests/AREA/NAME.test.ts');
  process.exit(1);
}

for await (const chunk of Readable.from(runAll(files)).compose(new spec())) process.stdout.write(chunk as Uint8Array);

if (skipped.length > 0) {
  const isFault = process.env['CI'] === 'true';
  console.error(`\n${isFault ? 'FAULT: skipped although CI=true' : 'NOT RUN'}, ${String(skipped.length)} tests:`);
  for (const line of skipped) console.error(`  ${line}`);
  if (isFault) succeeded = false;
}
process.exitCode = succeeded ? 0 : 1;
