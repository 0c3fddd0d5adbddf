import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { LaboratoryClosed, sallyportDevice, withLaboratory, type Program } from '@sallyport/netlab';
import type { Scenario } from './scenario.ts';
import { client } from './scenarios/client.ts';
import { openvpn } from './scenarios/openvpn.ts';
import { service } from './scenarios/service.ts';
import { tunnel } from './scenarios/tunnel.ts';
import { Steps } from './steps.ts';

const scenarios: readonly Scenario[] = [tunnel, service, client, openvpn];
const defaultScenario = tunnel;

const usage = `Usage: npm run demo -- [SCENARIO] [--json]

Shows Sallyport at work in network namespaces that stand in for real machines, and removes them afterwards.
Needs root; installs the system programs that are missing (Debian and Ubuntu).

Scenarios:
${scenarios.map(({ name, about }) => `  ${name.padEnd(10)} ${about}${name === defaultScenario.name ? ' (default)' : ''}`).join('\n')}

Options:
  --json             print the facts as one JSON object; progress goes to standard error
  --device PROGRAM   use another WireGuard device program, for example wireguard-go
  --help             print this text

Exit status: 0 when everything was as it must be, 1 when not, 2 for a wrong command line.
`;

class UsageError extends Error {}

interface Options {
  readonly scenario: Scenario;
  readonly json: boolean;
  readonly device: Program;
}

function parseOptions(): Options | undefined {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      help: { type: 'boolean', default: false },
      json: { type: 'boolean', default: false },
      device: { type: 'string' },
    },
  });
  if (values.help) return undefined;
  const [wanted = defaultScenario.name, ...rest] = positionals;
  const scenario = scenarios.find(({ name }) => name === wanted);
  if (scenario === undefined || rest.length > 0) {
    throw new UsageError(
      `no scenario '${positionals.join(' ')}': there is ${scenarios.map(({ name }) => name).join(', ')}`,
    );
  }
  const device = values.device === undefined ? sallyportDevice : { command: values.device.split(' ') };
  return { scenario, json: values.json, device };
}

/** @throws UsageError when the process isn't root or a system program is missing and can't be installed. */
function prepare(): void {
  if (process.getuid?.() !== 0) {
    throw new UsageError('network namespaces need root: run this as root, for example with sudo');
  }
  const installer = fileURLToPath(new URL('../scripts/install-system', import.meta.url));
  const installed = spawnSync(installer, ['--demo'], { stdio: ['ignore', 2, 2] });
  if (installed.status !== 0) throw new UsageError('system programs are missing: see above');
}

async function main(): Promise<number> {
  const options = parseOptions();
  if (options === undefined) {
    process.stdout.write(usage);
    return 0;
  }
  prepare();
  const steps = new Steps(process.stderr);
  const outcome = await withLaboratory(async (laboratory) => {
    laboratory.closing.addEventListener('abort', () => steps.note('removing everything that was set up'));
    return options.scenario.run({ laboratory, device: options.device, steps });
  });
  if (options.json) {
    const facts = { scenario: options.scenario.name, ...outcome.facts, faults: outcome.faults };
    process.stdout.write(`${JSON.stringify(facts, undefined, 2)}\n`);
  } else {
    process.stdout.write(`\n${outcome.picture}\n`);
  }
  for (const fault of outcome.faults) steps.note(`FAULT: ${fault}`);
  return outcome.faults.length === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (error instanceof UsageError || (error instanceof TypeError && 'code' in error)) {
    process.stderr.write(`demo: ${error.message}\n`);
    process.exitCode = 2;
  } else if (!(error instanceof LaboratoryClosed)) {
    process.stderr.write(`demo: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exitCode = 1;
  }
}
