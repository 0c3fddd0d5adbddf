/** The daemon's socket: what callers may send, and what becomes of those that misbehave. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { after, afterEach, test } from 'node:test';
import { MAX_LINE_BYTES } from '@sallyport/client';
import { DaemonFailure, LineReader, serveSocket, type Handlers, type SocketServer } from '@sallyport/clientd';

const folder = mkdtempSync(join(tmpdir(), 'sallyport-socket-'));
after(() => {
  rmSync(folder, { recursive: true, force: true });
});
let server: SocketServer | undefined;
afterEach(async () => {
  await server?.close();
});

const path = join(folder, 'socket');
const faults: string[] = [];
const unused = (): Promise<never> => Promise.reject(new DaemonFailure('refused', 'not in this test'));

async function serve(handlers: Partial<Handlers>): Promise<void> {
  const names = ['status', 'watch', 'login', 'logout', 'connect', 'disconnect', 'regions', 'settings', 'set', 'doctor', 'outside', 'leakWatch']; // prettier-ignore
  const all = Object.fromEntries(names.map((name) => [name, unused])) as unknown as Handlers;
  server = await serveSocket({
    path,
    groupId: undefined,
    handlers: { ...all, ...handlers },
    onFault: (message) => faults.push(message),
  });
}

class Caller {
  readonly socket: Socket;
  readonly answers: { id: number; event?: unknown; result?: unknown; error?: { code: string; message: string } }[] = [];
  readonly closed: Promise<void>;

  constructor() {
    this.socket = connect(path);
    this.socket.on('error', () => undefined);
    this.closed = new Promise((resolve) => this.socket.once('close', () => resolve()));
    createInterface({ input: this.socket }).on('line', (line) => {
      this.answers.push(JSON.parse(line) as (typeof this.answers)[number]);
      this.socket.emit('answer');
    });
  }

  async send(text: string, answers = 1): Promise<(typeof this.answers)[number]> {
    const wanted = this.answers.length + answers;
    this.socket.write(text);
    while (this.answers.length < wanted) await new Promise((resolve) => this.socket.once('answer', resolve));
    return this.answers[wanted - 1] ?? assert.fail();
  }
}

const request = (id: number, method: string, params: unknown = {}): string =>
  `${JSON.stringify({ id, method, params })}\n`;

test('events come before the result, under the request’s number', async () => {
  await serve({
    doctor: (_, { tell }) => {
      tell({ check: 'daemon' });
      return Promise.resolve({ items: [] });
    },
  });
  const caller = new Caller();
  await caller.send(request(7, 'doctor'), 2);
  assert.deepEqual(caller.answers, [
    { id: 7, event: { check: 'daemon' } },
    { id: 7, result: { items: [] } },
  ]);
  caller.socket.destroy();
});

test('what is no request is refused, and the connection goes on', async () => {
  await serve({ regions: () => Promise.resolve({ items: [] }) });
  const caller = new Caller();
  for (const text of [
    'nonsense\n',
    '{}\n',
    '[]\n',
    request(1, 'reboot'),
    request(2, 'outside', { pid: -1 }),
    request(3, 'status', { a: 1 }),
  ])
    // prettier-ignore
    assert.equal((await caller.send(text)).error?.code, 'badRequest', text);
  assert.deepEqual((await caller.send(request(9, 'regions'))).result, { items: [] });
  caller.socket.destroy();
});

test('a line that is too long ends the connection', async () => {
  await serve({});
  const caller = new Caller();
  assert.equal((await caller.send('x'.repeat(MAX_LINE_BYTES + 1))).error?.code, 'badRequest');
  await caller.closed;
});

test('a failure is told by its code, anything else is logged too', async () => {
  await serve({
    logout: () => Promise.reject(new DaemonFailure('conflict', 'first disconnect')),
    disconnect: () => Promise.reject(new Error('something broke')),
  });
  const caller = new Caller();
  assert.deepEqual((await caller.send(request(1, 'logout'))).error, { code: 'conflict', message: 'first disconnect' });
  assert.deepEqual(faults, []);
  assert.equal((await caller.send(request(2, 'disconnect'))).error?.code, 'failed');
  assert.deepEqual(faults, ['disconnect: something broke']);
  caller.socket.destroy();
});

test('a caller that leaves ends what it asked for', async () => {
  const ended = new Promise<void>((resolve) => {
    void serve({
      watch: (_, { signal, tell }) =>
        new Promise(() => {
          tell({});
          signal.addEventListener('abort', () => resolve());
        }),
    });
  });
  await new Promise((resolve) => setImmediate(resolve));
  const caller = new Caller();
  await caller.send(request(1, 'watch'));
  caller.socket.destroy();
  await ended;
});

test('no more than sixteen requests of one caller at a time', async () => {
  await serve({ watch: () => new Promise(() => undefined) });
  const caller = new Caller();
  const many = Array.from({ length: 17 }, (_, id) => request(id, 'watch')).join('');
  const answer = await caller.send(many);
  assert.deepEqual([answer.id, answer.error?.code], [16, 'refused']);
  caller.socket.destroy();
});

test(
  'one user has sixteen connections, all have forty-eight, and root has its own',
  { skip: process.getuid?.() === 0 ? false : 'takes root' },
  async () => {
    await serve({ watch: () => new Promise(() => undefined), disconnect: () => Promise.resolve({} as never) });
    chmodSync(folder, 0o755);
    chmodSync(path, 0o666);
    // Opens as many as it can, says how many stayed open and what the others were told, and keeps them.
    const script = `const net = require('net'); let open = 0, ended = 0, told = '';
    const count = () => { if (open + ended === 20) console.log(JSON.stringify({ open, told })); };
    for (let i = 0; i < 20; i++) { const s = net.connect(process.argv[1]); let text = '';
      s.on('error', () => {}); s.on('data', (d) => { text += d; if (text.includes('badRequest')) { open++; count(); } });
      s.on('close', () => { ended++; told = text || told; count(); }); s.write('{"id":1,"method":"pong"}\\n'); }
    setInterval(() => {}, 1000);`;
    const children = [65_534, 65_533, 65_532, 65_531].map((uid) => ({
      uid,
      child: spawn(process.execPath, ['-e', script, path], { uid, gid: uid, cwd: '/', stdio: ['ignore', 'pipe', 'inherit'] }), // prettier-ignore
    }));
    try {
      const found = await Promise.all(
        children.map(async ({ child }) => {
          for await (const line of createInterface({ input: child.stdout })) return JSON.parse(line) as { open: number; told: string }; // prettier-ignore
          return assert.fail();
        }),
      );
      assert.equal(found.reduce((sum, { open }) => sum + open, 0), 48); // prettier-ignore
      for (const { open, told } of found) {
        assert.ok(open <= 16, String(open));
        assert.match(told, /^\{"id":0,"error":\{"code":"refused","message":"too many commands/);
      }
      const root = Array.from({ length: 16 }, () => new Caller());
      for (const caller of root) assert.deepEqual((await caller.send(request(1, 'disconnect'))).result, {});
      const last = new Caller();
      await last.closed;
      assert.equal(last.answers[0]?.error?.code, 'refused');
      for (const caller of root) caller.socket.destroy();
    } finally {
      for (const { child } of children) child.kill();
    }
  },
);

test('the caller is known by the system', async () => {
  let seen: { uid: number; pid: number } | undefined;
  await serve({
    regions: (_, { caller }) => {
      seen = caller;
      return Promise.resolve({ items: [] });
    },
  });
  const caller = new Caller();
  await caller.send(request(1, 'regions'));
  assert.deepEqual([seen?.pid, seen?.uid], [process.pid, process.getuid?.()]);
  caller.socket.destroy();
});

test('without a group it is root’s alone; a socket that nobody listens on is replaced, one in use is not', async () => {
  await serve({});
  assert.equal(statSync(path).mode & 0o777, 0o600);
  await assert.rejects(serveSocket({ path, groupId: undefined, handlers: {} as Handlers, onFault: () => undefined }), /another daemon listens/); // prettier-ignore
  await server?.close();
  writeFileSync(path, '');
  await assert.rejects(serveSocket({ path, groupId: undefined, handlers: {} as Handlers, onFault: () => undefined }), /no socket/); // prettier-ignore
  rmSync(path);
});

test('lines come whole however they are cut', () => {
  const text = 'one\n\nzwei ü\nlast\n';
  const bytes = Buffer.from(text);
  for (let size = 1; size < bytes.length; size++) {
    const reader = new LineReader(16);
    const lines: string[] = [];
    for (let at = 0; at < bytes.length; at += size) lines.push(...(reader.push(bytes.subarray(at, at + size)) ?? []));
    assert.deepEqual(lines, ['one', '', 'zwei ü', 'last'], String(size));
  }
  assert.equal(new LineReader(3).push(Buffer.from('four\n')), undefined);
});
