import assert from 'node:assert/strict';
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { existsSync, lstatSync, rmSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import { afterEach, test } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Secret } from '@sallyport/core';
import { getDevice, listDevices, serveUapi, setDevice, uapiSocketPath } from '@sallyport/runtime';
import type { UapiServer } from '@sallyport/runtime';
import { decodeDeviceState, encodeDeviceState, UapiDecoder } from '@sallyport/wireguard';
import type { DeviceChange, DeviceState } from '@sallyport/wireguard';

// A device's name is the same for every network namespace, so it has to be this process's own.
const name = `spu${process.pid.toString(36)}`;
const path = uapiSocketPath(name);
const open: { close(): void }[] = [];

interface Served {
  readonly server: UapiServer;
  readonly changes: DeviceChange[];
  readonly logged: string[];
  state: DeviceState;
  answer: number;
  removed: number;
}

/** A device that keeps what it is told. */
async function serve(): Promise<Served> {
  const served = {
    changes: [] as DeviceChange[],
    logged: [] as string[],
    state: { privateKey: undefined, listenPort: 0, fwmark: 0, peers: [] } as DeviceState,
    answer: 0,
    removed: 0,
  };
  const server = await serveUapi<DeviceChange>(name, {
    newDecoder: () => new UapiDecoder(),
    get: () => encodeDeviceState(served.state),
    set: (change) => {
      served.changes.push(change);
      if (served.answer < 0) throw new Error('no such luck');
      return served.answer;
    },
    log: (message) => served.logged.push(message),
    removed: () => served.removed++,
  });
  open.push(server);
  return Object.assign(served, { server });
}

function ask(request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect(path);
    let answer = '';
    socket.setEncoding('utf8');
    socket.on('data', (text: string) => (answer += text));
    socket.on('close', () => resolve(answer)).on('error', reject);
    socket.end(request);
  });
}

afterEach(() => {
  for (const server of open.splice(0)) server.close();
  rmSync(path, { force: true });
});

test('wg sets and shows a device over the socket', async () => {
  const served = await serve();
  const conf = `/tmp/${name}.conf`;
  const privateKey = execFileSync('wg', ['genkey'], { encoding: 'utf8' }).trim();
  const publicKey = execFileSync('wg', ['pubkey'], { input: privateKey, encoding: 'utf8' }).trim();
  const preshared = execFileSync('wg', ['genpsk'], { encoding: 'utf8' }).trim();
  try {
    writeFileSync(
      conf,
      `[Interface]\nPrivateKey=${privateKey}\nListenPort=51820\nFwMark=0x33\n[Peer]\nPublicKey=${publicKey}\n` +
        `PresharedKey=${preshared}\nEndpoint=[2001:db8::5]:1234\nAllowedIPs=10.0.0.1/8, fd00::1/64\nPersistentKeepalive=25\n`,
      { mode: 0o600 },
    );
    await run('wg', ['setconf', name, conf]);
  } finally {
    rmSync(conf, { force: true });
  }
  const [change] = served.changes;
  assert.ok(change);
  assert.equal(Buffer.from(change.privateKey?.reveal() ?? []).toString('base64'), privateKey);
  assert.deepEqual([change.listenPort, change.fwmark, change.replacePeers], [51820, 0x33, true]);
  const [peer] = change.peers;
  assert.ok(peer);
  served.state = {
    privateKey: change.privateKey,
    listenPort: 51820,
    fwmark: 0x33,
    peers: [
      {
        ...peer,
        lastHandshakeSeconds: 1_700_000_000,
        lastHandshakeNanoseconds: 0,
        rxBytes: 5_000_000_000_000,
        txBytes: 7,
        persistentKeepalive: peer.persistentKeepalive ?? 0,
      },
    ],
  };
  const dump = (await run('wg', ['show', name, 'dump'])).trim().split('\n');
  assert.deepEqual(dump, [
    `${privateKey}\t${publicKey}\t51820\t0x33`,
    `${publicKey}\t${preshared}\t[2001:db8::5]:1234\t10.0.0.0/8,fd00::/64\t1700000000\t5000000000000\t7\t25`,
  ]);
});

test('wg removes a peer and is told of a refusal', async () => {
  const served = await serve();
  const publicKey = Buffer.alloc(32, 7).toString('base64');
  await run('wg', ['set', name, 'peer', publicKey, 'remove']);
  assert.equal(served.changes[0]?.peers[0]?.remove, true);
  await run('wg', ['set', name, 'peer', publicKey, 'allowed-ips', '']);
  assert.equal(served.changes[1]?.peers[0]?.replaceAllowedIps, true);
  served.answer = 98;
  const refused = await runFailing('wg', ['set', name, 'listen-port', '80']);
  assert.match(refused, /Address already in use/);
});

test('our own client sets and gets, and names the errno of a refusal', async () => {
  const served = await serve();
  served.state = { ...served.state, privateKey: new Secret(new Uint8Array(32).fill(9)), listenPort: 7 };
  assert.ok(listDevices().includes(name));
  await setDevice(name, ['set=1\n', 'listen_port=7\n', '\n']);
  assert.equal(served.changes[0]?.listenPort, 7);
  const decoded = decodeDeviceState(await getDevice(name));
  assert.ok(decoded.ok && decoded.state.listenPort === 7);
  served.answer = 98;
  await assert.rejects(setDevice(name, ['set=1\n\n']), { code: 'refused', message: /EADDRINUSE/ });
  await assert.rejects(setDevice(name, ['set=1\nlisten_port=x\n\n']), { code: 'refused', message: /EINVAL/ });
  served.answer = -1;
  await assert.rejects(setDevice(name, ['set=1\n\n']), { code: 'refused', message: /EIO/ });
  assert.deepEqual(served.logged.length, 2);
});

test('several requests on one connection are answered in order, one that ends its side too', async () => {
  const served = await serve();
  served.state = { ...served.state, listenPort: 5 };
  const answer = await ask('get=1\n\nset=1\nfwmark=1\n\nset=1\nfwmark=x\n\nget=1\n\n');
  assert.equal(answer, 'listen_port=5\nerrno=0\n\nerrno=0\n\nerrno=-22\n\nlisten_port=5\nerrno=0\n\n');
});

test('an answer of many megabytes waits for a slow reader, and memory does not grow by it', async () => {
  const served = await serve();
  const peer = {
    publicKey: new Uint8Array(32).fill(1),
    presharedKey: undefined,
    endpoint: undefined,
    lastHandshakeSeconds: 0,
    lastHandshakeNanoseconds: 0,
    rxBytes: 0,
    txBytes: 0,
    persistentKeepalive: 0,
    allowedIps: [],
  };
  let taken = 0;
  const total = 50_000;
  served.state = {
    ...served.state,
    peers: {
      *[Symbol.iterator]() {
        for (; taken < total; taken++) yield peer;
      },
    },
  };
  const socket = connect(path);
  socket.write('get=1\n\n');
  socket.pause();
  await sleep(300);
  assert.ok(taken < total / 10, `${taken} peers were encoded for a reader that does not read`);
  let length = 0;
  let last = '';
  socket.setEncoding('latin1').on('data', (text: string) => {
    length += text.length;
    last = (last + text).slice(-9);
    if (last.endsWith('errno=0\n\n')) socket.end();
  });
  socket.resume();
  await new Promise((resolve) => socket.on('close', resolve));
  assert.equal(taken, total);
  assert.ok(length > 10_000_000);
});

test('a client that talks nonsense is answered once and shut out', async () => {
  const served = await serve();
  assert.equal(await ask(`GET / HTTP/1.1\r\nHost: x\r\n\r\n${'x'.repeat(100_000)}`), 'errno=-22\n\n');
  assert.equal(served.logged.length, 1);
  assert.equal(await ask('get=1\n\n'), 'errno=0\n\n');
});

test('the socket is for its owner alone, is refused while it is in use, and goes when it is closed', async () => {
  const { server } = await serve();
  assert.equal(lstatSync(path).mode & 0o077, 0);
  await assert.rejects(serve(), { code: 'inUse', message: new RegExp(name) });
  assert.equal(await ask('get=1\n\n'), 'errno=0\n\n');
  server.close();
  assert.equal(existsSync(path), false);
  await assert.rejects(getDevice(name), { code: 'noDevice' });
});

test('a socket that nobody answers on any more is replaced', async () => {
  const killed = `require('node:net').createServer().listen(process.argv[1], () => process.kill(process.pid, 'SIGKILL'))`;
  spawnSync(process.execPath, ['-e', killed, path]);
  assert.equal(existsSync(path), true);
  await serve();
  assert.equal(await ask('get=1\n\n'), 'errno=0\n\n');
});

test("removing the socket's file is noticed, and another device's socket is left alone", async () => {
  const served = await serve();
  rmSync(path);
  while (served.removed === 0) await sleep(10);
  assert.equal(served.removed, 1);
  const other = createServer().listen(path);
  await new Promise((resolve) => other.on('listening', resolve));
  served.server.close();
  await sleep(50);
  assert.equal(existsSync(path), true);
  other.close();
});

/** Runs a program without stopping this process, which serves the socket. */
async function run(program: string, args: readonly string[]): Promise<string> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const code = await new Promise<number | null>((resolve) => child.on('close', resolve));
  if (code !== 0) throw new Error(`${program} ${args.join(' ')}: exit code ${String(code)}: ${stderr}`);
  return stdout;
}

async function runFailing(program: string, args: readonly string[]): Promise<string> {
  try {
    await run(program, args);
  } catch (error) {
    return (error as Error).message;
  }
  throw new assert.AssertionError({ message: `${program} ${args.join(' ')} should have failed` });
}
