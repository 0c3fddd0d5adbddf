import assert from 'node:assert/strict';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test, type TestContext } from 'node:test';
import { BlockListStore } from '@sallyport/resolver';
import { BlockListReader, namesOfLine } from '../../packages/resolver/src/block-list.ts';
import { MAX_LIST_BYTES } from '../../packages/resolver/src/block-list-store.ts';
import { MAX_NAMES, NameSetBuilder, type NameSet } from '../../packages/resolver/src/name-set.ts';

test('a line of a list', () => {
  for (const [line, names] of [
    ['ads.example', ['ads.example']],
    ['  *.Ads.Example.  # comment', ['ads.example']],
    ['0.0.0.0 a.example b.example', ['a.example', 'b.example']],
    ['127.0.0.1\tlocalhost', []],
    ['::1 ip6-localhost ip6-loopback', []],
    ['255.255.255.255 broadcasthost', undefined],
    ['# nothing', []],
    ['! nothing', []],
    ['', []],
    ['com', undefined],
    ['192.0.2.1', undefined],
    ['0.0.0.0', undefined],
    ['0.0.0.0 0.0.0.0', []],
    ['<html lang="en">', undefined],
    ['<p>', undefined],
    ['a b', undefined],
    [`${'x'.repeat(64)}.example`, undefined],
    ['_x.a-b.example', ['_x.a-b.example']],
    ['b\u00fccher.example', undefined],
  ] as const) {
    assert.deepEqual(namesOfLine(line), names, line);
  }
});

test('a list may come in any pieces', () => {
  const text = Buffer.from(`0.0.0.0 a.example\r\n${'x'.repeat(5000)}\nb.example\n<p>\nc.example`);
  for (let size = 1; size < 40; size += 3) {
    const names: string[] = [];
    const reader = new BlockListReader((name) => names.push(name) > 0);
    for (let at = 0; at < text.length; at += size) reader.push(text.subarray(at, at + size));
    reader.end();
    assert.deepEqual([names, reader.faultyLines], [['a.example', 'b.example', 'c.example'], 2], `${size} bytes`);
  }
});

test('a set covers its names with all below them, and nothing else', () => {
  const builder = new NameSetBuilder();
  const count = 200_000;
  for (let i = 0; i < count; i++) builder.add(`n${i}.example`);
  for (let i = 0; i < 1000; i++) assert.ok(builder.add('n1.example'));
  const names = builder.finish();
  assert.equal(names.size, count, 'no two hashes are the same');
  for (let i = 0; i < count; i += 97) {
    assert.ok(names.covers(`n${i}.example`) && names.covers(`a.b.n${i}.example`));
    assert.ok(!names.covers(`m${i}.example`) && !names.covers(`xn${i}.example`) && !names.covers(`n${i}.example.org`));
  }
  assert.ok(!names.covers('example') && !names.covers(''));
});

test('a set has an end', () => {
  const builder = new NameSetBuilder();
  for (let i = 0; i < MAX_NAMES; i++) if (!builder.add(`${i}.x`)) assert.fail();
  assert.equal(builder.add('more.x'), false);
});

interface Lists {
  readonly url: string;
  readonly folder: string;
  respond: (request: IncomingMessage, response: ServerResponse) => void;
  asked: number;
}

async function lists(t: TestContext): Promise<Lists> {
  const folder = mkdtempSync(join(tmpdir(), 'sallyport-lists-'));
  const given: Lists = { url: '', folder, respond: (_request, response) => response.end('ads.example\n'), asked: 0 };
  const server = createServer((request, response) => {
    given.asked += 1;
    given.respond(request, response);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => {
    server.closeAllConnections();
    server.close();
    chmodSync(folder, 0o700);
    rmSync(folder, { recursive: true });
  });
  return Object.assign(given, { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/list` });
}

/** A store, and what it says next. */
function open(t: TestContext, { folder }: Lists, times: { refreshMs?: number; retryMs?: number } = {}) {
  const said: (NameSet | string)[] = [];
  let wake: (() => void) | undefined;
  const take = (what: NameSet | string): void => {
    said.push(what);
    wake?.();
  };
  const store = new BlockListStore({ folder, onNames: take, onProblem: take, ...times });
  t.after(() => {
    store.close();
  });
  const next = async (): Promise<NameSet | string> => {
    // The store's timers keep no process alive, this one does.
    const alive = setInterval(() => undefined, 1000);
    while (said.length === 0) await new Promise<void>((resolve) => (wake = resolve));
    clearInterval(alive);
    return said.shift() ?? '';
  };
  const names = async (): Promise<NameSet> => {
    const what = await next();
    if (typeof what === 'string') assert.fail(what);
    return what;
  };
  return { store, next, names };
}

test('lists are fetched, renewed, and there again after a restart without the network', async (t) => {
  const given = await lists(t);
  const first = open(t, given, { refreshMs: 300 });
  first.store.setUrls([given.url]);
  assert.equal((await first.names()).size, 0, 'there is no copy yet');
  assert.ok((await first.names()).covers('www.ads.example'));
  given.respond = (_request, response) => response.end('0.0.0.0 other.example\n');
  const renewed = await first.names();
  assert.ok(renewed.covers('other.example') && !renewed.covers('ads.example'));
  first.store.close();

  const { asked } = given;
  const second = open(t, given);
  second.store.setUrls([given.url]);
  assert.ok((await second.names()).covers('other.example'));
  await new Promise((resolve) => setTimeout(resolve, 200));
  assert.equal(given.asked, asked, 'the copy is of today');
  second.store.setUrls([]);
  assert.equal((await second.names()).size, 0);
  assert.deepEqual(readdirSync(given.folder), [], 'what is not wanted any more is removed');
});

test('a list that can not be had leaves the copy from before', async (t) => {
  const given = await lists(t);
  const first = open(t, given);
  first.store.setUrls([given.url]);
  await first.names();
  await first.names();
  first.store.close();
  const bad: [RegExp, Lists['respond']][] = [
    [/status 500/, (_request, response) => response.writeHead(500).end('ads.example')],
    [/no list of names/, (_request, response) => response.end('<html>\n<body>\nsorry.example\n')],
    [/no list of names/, (_request, response) => response.end()],
    [/longer than/, (_request, response) => response.end(Buffer.alloc(MAX_LIST_BYTES + 1, 'a.example\n'))],
    [/without an end/, (_request, response) => response.writeHead(302, { location: '/next' }).end()],
    [/no URL of HTTPS/, (_request, response) => response.writeHead(302, { location: 'file:///etc/passwd' }).end()],
    [/can't be renewed/, (_request, response) => void response.writeHead(200, { 'content-length': 100 }).write('b.example\n', () => response.destroy())], // prettier-ignore
    [/can't be renewed/, (_request, response) => response.destroy()],
  ];
  for (const [reason, respond] of bad) {
    given.respond = respond;
    for (const name of readdirSync(given.folder)) utimesSync(join(given.folder, name), 0, 0);
    const store = open(t, given, { retryMs: 100 });
    store.store.setUrls([given.url]);
    assert.ok((await store.names()).covers('ads.example'));
    const problem = await store.next();
    assert.ok(typeof problem === 'string');
    assert.match(problem, reason);
    assert.deepEqual(readdirSync(given.folder).filter((name) => name.endsWith('.new')), []); // prettier-ignore
    given.respond = (_request, response) => response.end('ads.example\nback.example\n');
    assert.ok((await store.names()).covers('back.example'), 'it is tried again');
    store.store.close();
  }
});

test('several lists are one set; a redirect is followed; what was half written is removed', async (t) => {
  const given = await lists(t);
  writeFileSync(join(given.folder, 'half.new'), 'x.example');
  given.respond = ({ url }, response) => {
    if (url === '/list') response.writeHead(301, { location: '/moved' }).end();
    else response.end(url === '/moved' ? 'a.example' : 'b.example');
  };
  const { store, names } = open(t, given);
  store.setUrls([given.url, `${given.url}2`, given.url]);
  let found = await names();
  while (found.size < 2) found = await names();
  assert.ok(found.covers('a.example') && found.covers('b.example'));
  assert.equal(given.asked, 3);
  assert.deepEqual(readdirSync(given.folder).filter((name) => name.endsWith('.new')), []); // prettier-ignore
});
