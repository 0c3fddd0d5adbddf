/** The manual and the completions, which are made of what the commands say of themselves. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import { loadAllCommands } from '../../apps/cli/src/command-list.ts';
import type { Command } from '../../apps/cli/src/command.ts';
import { commandText, type CommandText } from '../../apps/cli/src/commands/option-table.ts';
import { daemonDouble, program, type DaemonDouble } from './daemon-double.ts';

let commands: Command[] = [];
let texts: CommandText[] = [];
before(async () => {
  commands = await loadAllCommands();
  texts = commands.map(commandText);
});

/** Commands that take their words themselves say their options in their help alone. */
const ownOptions = new Set(['server', 'gateway join', 'gateway run', 'outside', 'daemon']);

test('every option of every command is found in its help, with words, and none that there is not', () => {
  for (const [i, { name, options, valued = [] }] of commands.entries()) {
    const found = texts[i];
    assert.ok(found.description.length > 0, name);
    assert.ok(found.examples.length > 0, `${name} has examples`);
    if (ownOptions.has(name)) continue;
    assert.deepEqual(found.options.map((option) => option.name).sort(), [...options, ...valued].sort(), name);
    for (const option of found.options) {
      assert.equal(option.value !== undefined, valued.includes(option.name), `${name} --${option.name}`);
      // Those of the API say by their value what they are.
      if (option.value === undefined) assert.notEqual(option.text, '', `${name} --${option.name}`);
    }
  }
});

test('every command of the client that answers something does so in JSON too', () => {
  const ofClient = ['connect', 'disconnect', 'doctor', 'leaktest', 'login', 'logout', 'regions', 'set', 'status'];
  for (const name of ofClient) assert.ok(commands.find((command) => command.name === name)?.options.includes('json'), name); // prettier-ignore
});

test('the manual is one that groff reads without a complaint, and has every command', () => {
  const { status, stdout } = spawnSync(program, ['man'], { encoding: 'utf8' });
  assert.equal(status, 0);
  const read = spawnSync('groff', ['-man', '-ww', '-b', '-Tutf8', '-rLL=120n', '-P-c'], {
    input: stdout,
    encoding: 'utf8',
  });
  assert.equal(read.status, 0);
  assert.equal(read.stderr, '');
  const page = read.stdout.replaceAll(/.\u0008/g, '');
  for (const { name } of commands) assert.ok(page.includes(`sallyport ${name}`), name);
  // What roff would take for its own.
  assert.match(page, /sallyport completion zsh > "\$\{fpath\[1\]\}\/_sallyport"/);
  assert.match(page, /^ {7}75 +there is no connection yet; the client goes on trying$/m);
  assert.match(page, /--via ENTRY\n +enter at this gateway/);
});

describe('completions of bash', () => {
  let daemon: DaemonDouble;
  let script = '';
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-completion-'));
  before(async () => {
    daemon = await daemonDouble();
    daemon.answer = ({ method }, say) => {
      assert.equal(method, 'regions');
      const choice = { gatewayId: 'g', gateway: 'oslo-1', regionId: 'oslo', region: 'Oslo', country: null, city: null, load: 'low', draining: false, latencyMs: 3, recommended: true } as const; // prettier-ignore
      say({ result: { items: [choice] } });
    };
    script = join(folder, 'completion');
    writeFileSync(script, spawnSync(program, ['completion', 'bash'], { encoding: 'utf8' }).stdout);
  });
  after(async () => {
    rmSync(folder, { recursive: true });
    await daemon[Symbol.asyncDispose]();
  });

  /** What bash offers for the last word of a line. */
  async function complete(...words: string[]): Promise<string[]> {
    const run = join(folder, 'run');
    const quoted = ['sallyport', ...words].map((word) => `'${word}'`).join(' ');
    // compopt works while bash itself completes; what it would say is no matter here.
    const path = `PATH="${join(program, '..')}:$PATH"`;
    writeFileSync(
      run,
      `${path}; compopt() { echo "$*"; }; . ${script}\nCOMP_WORDS=(${quoted}); COMP_CWORD=${words.length}; _sallyport\nprintf '%s\\n' "\${COMPREPLY[@]}"\n`,
    );
    const { spawn } = await import('node:child_process');
    const { once } = await import('node:events');
    const child = spawn('bash', [run], { env: { ...process.env, SALLYPORT_CLIENT_SOCKET: daemon.path } });
    let [stdout, stderr] = ['', ''];
    child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    await once(child, 'close');
    assert.equal(stderr, '');
    return stdout.split('\n').filter((line) => line !== '');
  }

  test('commands, by their words', async () => {
    assert.deepEqual(await complete('con'), ['connect', 'config']);
    assert.deepEqual(await complete('user', 'cr'), ['create']);
    assert.deepEqual((await complete('wg', '')).sort(), ['device', 'down', 'status', 'up']);
    assert.deepEqual(await complete('--json', 'wg', 'u'), ['up']);
  });

  test('options of the command that is there', async () => {
    assert.deepEqual(await complete('connect', '--v'), ['--via']);
    assert.deepEqual(await complete('connect', 'oslo', '--'), ['--via', '--advertise', '--json', '--help']);
    assert.deepEqual(await complete('user', 'create', 'bob', '--em'), ['--email']);
  });

  test('places, settings and files', async () => {
    assert.deepEqual(await complete('connect', ''), ['fastest', 'oslo', 'oslo-1']);
    assert.deepEqual(await complete('connect', '--via', 'oslo-'), ['oslo-1']);
    assert.deepEqual(await complete('set', 'split.'), ['split.mode', 'split.networks']);
    assert.deepEqual(await complete('completion', 'f'), ['fish']);
    assert.deepEqual(await complete('login', 'https://x', '--token-file', ''), ['-o default']);
    assert.deepEqual(await complete('wg', 'up', './w'), ['-o default']);
  });
});

for (const shell of ['zsh', 'fish']) {
  test(`the completions of ${shell} have every command and option, in a form that it reads`, () => {
    const { stdout } = spawnSync(program, ['completion', shell], { encoding: 'utf8' });
    for (const { name, options } of texts) {
      assert.ok(stdout.includes(`'${name.split(' ').at(-1)}`), name);
      for (const option of options)
        assert.ok(stdout.includes(shell === 'zsh' ? `'--${option.name}:` : `-l ${option.name} `), option.name);
    }
    // Where the shell is on this machine, it says so itself.
    const { status, stderr, error } = spawnSync(shell, ['-n'], { input: stdout, encoding: 'utf8' });
    if (error === undefined) assert.equal(status, 0, stderr);
  });
}
