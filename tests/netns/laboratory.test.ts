/** The laboratory itself: it leaves nothing behind, and what it reads is what was there. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import {
  cpuSeconds,
  dissect,
  Laboratory,
  LaboratoryClosed,
  parsePing,
  ping,
  readPcap,
  until,
  wire,
  withLaboratory,
} from '@sallyport/netlab';

/** Whether the process is there, and not only its number, which its new parent has to take notice of. */
function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${String(pid)}/status`, 'utf8'));
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return false;
    throw error;
  }
}

function namespacesOf(pid: number): string[] {
  return readdirSync('/run/netns').filter((name) => new RegExp(`^sp-${String(pid)}[a-z]?-`).test(name));
}

test('an exception removes namespaces, processes and files', async () => {
  let folder = '';
  let pid = 0;
  const failing = withLaboratory(async (laboratory) => {
    const namespace = await laboratory.namespace('one');
    const file = laboratory.file('secret', 'text');
    assert.equal(statSync(file).mode & 0o777, 0o600);
    ({ folder } = laboratory);
    ({ pid } = await namespace.start(['sleep', '1000']));
    throw new Error('on purpose');
  });
  await assert.rejects(failing, /on purpose/);
  assert.deepEqual(namespacesOf(process.pid), []);
  assert.equal(existsSync(folder), false);
  assert.throws(() => process.kill(pid, 0));
});

test('a closed laboratory starts nothing', async () => {
  const laboratory = Laboratory.open();
  await laboratory.close();
  await assert.rejects(laboratory.run(['true']), LaboratoryClosed);
});

/** Prints the sleeper's number when it is that: until then setpriv may not have asked for its death with the script's. */
const script = `
  import { readFileSync } from 'node:fs';
  import { Laboratory, until } from ${JSON.stringify(fileURLToPath(import.meta.resolve('@sallyport/netlab')))};
  const namespace = await Laboratory.open().namespace('one');
  const { pid } = await namespace.start(['sleep', '1000']);
  await until('the sleeper', () => readFileSync('/proc/' + pid + '/comm', 'utf8') === 'sleep\\n');
  console.log(pid);
  await new Promise((resolve) => setTimeout(resolve, 100_000));
`;

/** Runs the script until it has a namespace and a process, then sends it the signal. */
async function endBySignal(signal: NodeJS.Signals): Promise<{ pid: number; sleeper: number; code: number | null }> {
  const argv = ['--input-type=module-typescript', '--eval', script];
  const child = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'inherit'] });
  const code = new Promise<number | null>((resolve) => child.once('close', resolve));
  const [line] = (await child.stdout.take(1).toArray()) as Buffer[];
  const pid = child.pid ?? assert.fail('no process');
  assert.equal(namespacesOf(pid).length, 1);
  child.kill(signal);
  return { pid, sleeper: Number(line), code: await code };
}

for (const [signal, number] of [
  ['SIGINT', 2],
  ['SIGTERM', 15],
  ['SIGHUP', 1],
] as const) {
  test(`${signal} removes everything`, async () => {
    const { pid, sleeper, code } = await endBySignal(signal);
    assert.equal(code, 128 + number);
    assert.deepEqual(namespacesOf(pid), []);
    assert.throws(() => process.kill(sleeper, 0));
  });
}

test('after SIGKILL its processes are dead and the next laboratory removes its namespaces', async () => {
  const { pid, sleeper } = await endBySignal('SIGKILL');
  while (isRunning(sleeper)) await new Promise((resolve) => setTimeout(resolve, 20));
  await Laboratory.open().close();
  assert.deepEqual(namespacesOf(pid), []);
  assert.deepEqual(
    readdirSync(tmpdir()).filter((name) => name.startsWith(`sallyport-${String(pid)}-`)),
    [],
  );
});

test('a wire carries both families at once, and a capture holds what passed', () =>
  withLaboratory(async (laboratory) => {
    const [a, b] = [await laboratory.namespace('a'), await laboratory.namespace('b')];
    await wire(
      { namespace: a, name: 'wire', addresses: ['192.0.2.1/24', '2001:db8::1/64'] },
      { namespace: b, name: 'wire', addresses: ['192.0.2.2/24', '2001:db8::2/64'] },
    );
    const capture = await b.capture('wire');
    for (const address of ['192.0.2.2', '2001:db8::2']) {
      // The interval is how long ping waits for the last answer at least.
      assert.equal((await ping(a, address, { count: 2, intervalMs: 500 })).received, 2, address);
    }
    const { packets, dropped } = await capture.stop();
    assert.equal(dropped, 0);
    const seen = packets.map(({ bytes }) => dissect(bytes));
    const echoes = (source: string, protocol: number, type: number | undefined) =>
      seen.filter((packet) => {
        return (
          packet.kind === 'ip' && packet.source === source && packet.protocol === protocol && packet.icmpType === type
        );
      }).length;
    assert.equal(echoes('192.0.2.1', 1, undefined), 2);
    assert.equal(echoes('192.0.2.2', 1, undefined), 2);
    assert.equal(echoes('2001:db8::1', 58, 128), 2);
    assert.equal(echoes('2001:db8::2', 58, 129), 2);
    assert.ok(seen.some(({ kind }) => kind === 'arp'));
  }));

test('capture files of either byte order and resolution', () => {
  const frame = Uint8Array.from({ length: 60 }, (_, at) => at);
  for (const littleEndian of [true, false]) {
    for (const [magic, fraction] of [
      [0xa1b2c3d4, 250_000],
      [0xa1b23c4d, 250_000_000],
    ] as const) {
      const file = new Uint8Array(24 + 2 * 16 + 60 + 10);
      const view = new DataView(file.buffer);
      view.setUint32(0, magic, littleEndian);
      view.setUint32(20, 1, littleEndian);
      for (const [at, value] of [7, fraction, 60, 1500].entries()) view.setUint32(24 + at * 4, value, littleEndian);
      file.set(frame, 40);
      // A record whose end is missing.
      view.setUint32(100 + 8, 60, littleEndian);
      assert.deepEqual(readPcap(file), [{ time: 7.25, bytes: frame, length: 1500 }]);
    }
  }
  assert.throws(() => readPcap(new Uint8Array(24)), /no capture file/);
  assert.throws(() => readPcap(new Uint8Array(3)), /shorter/);
});

test('IPv6 addresses in their canonical form', () => {
  const cases = [
    ['2001:db8::1', [0x2001, 0xdb8, 0, 0, 0, 0, 0, 1]],
    ['::', [0, 0, 0, 0, 0, 0, 0, 0]],
    ['::1', [0, 0, 0, 0, 0, 0, 0, 1]],
    ['fe80::', [0xfe80, 0, 0, 0, 0, 0, 0, 0]],
    ['1:0:0:2::3', [1, 0, 0, 2, 0, 0, 0, 3]],
    ['1:0:2:3:4:5:6:7', [1, 0, 2, 3, 4, 5, 6, 7]],
    ['0:1::2', [0, 1, 0, 0, 0, 0, 0, 2]],
    ['10::100:0:0:1', [0x10, 0, 0, 0, 0x100, 0, 0, 1]],
  ] as const;
  for (const [text, groups] of cases) {
    const frame = new Uint8Array(54);
    const view = new DataView(frame.buffer);
    view.setUint16(12, 0x86dd);
    for (const [group, value] of groups.entries()) view.setUint16(22 + group * 2, value);
    const packet = dissect(frame);
    assert.equal(packet.kind === 'ip' ? packet.source : '', text);
  }
});

test("ping's summary", () => {
  const output = '64 bytes: time=0.5 ms\n64 bytes: time=12 ms\n3 packets transmitted, 2 received, 33% packet loss\n';
  assert.deepEqual(parsePing(output), { sent: 3, received: 2, times: [0.5, 12], output });
  assert.throws(() => parsePing('ping: unknown host'), /unknown host/);
});

test('processor time of a process and its children', async () => {
  await withLaboratory(async (laboratory) => {
    const busy = 'i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done';
    const parent = await laboratory.start(['sh', '-c', `sh -c '${busy}; sleep 100' & wait`]);
    await until('the time of the child', () => cpuSeconds(parent.pid) > 0.05);
    await parent.stop();
    assert.equal(cpuSeconds(parent.pid), 0);
  });
});
