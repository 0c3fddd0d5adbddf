/** What the client's commands draw and compute by themselves. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { after, before, describe, test } from 'node:test';
import { clientSettings } from '@sallyport/client';
import dnsPacket from 'dns-packet';
import fc from 'fast-check';
import { formatBytes, formatMilliseconds, formatRate, formatSpan } from '../../apps/cli/src/client/format.ts';
import { documentationAddress } from '../../apps/cli/src/client/killed-daemon.ts';
import { LEAK_CHECKS, splitEndpoint } from '../../apps/cli/src/client/leak-checks.ts';
import { defaultRouters, isLocalRange, nameServersOf, neighbourOf } from '../../apps/cli/src/client/outer-network.ts';
import { niceCeiling, plot } from '../../apps/cli/src/client/plot.ts';
import { dnsQuestion, freshName } from '../../apps/cli/src/client/probes.ts';
import { SETTING_KEYS, settingKey, showValue, valueOf, withSetting } from '../../apps/cli/src/client/setting-keys.ts';
import { printable, styleFor, wrap } from '../../apps/cli/src/client/terminal.ts';
import { Throughput } from '../../apps/cli/src/client/throughput.ts';
import { watchScreen } from '../../apps/cli/src/client/watch-screen.ts';
import { CONNECTED, daemonDouble, ENTRY, program, SETTINGS, STATUS, type DaemonDouble } from './daemon-double.ts';

describe('numbers', () => {
  test('have three digits at most and never a thousand of a unit', () => {
    const written = [0, 999, 999.6, 1000, 1234, 12_345, 123_456, 999_949, 999_999, 1.5e9, 2e16];
    assert.deepEqual(written.map(formatBytes), [
      ...['0 B', '999 B', '1.00 kB', '1.00 kB', '1.23 kB', '12.3 kB', '123 kB', '1.00 MB', '1.00 MB', '1.50 GB', '20.0 PB'],
    ]); // prettier-ignore
    assert.equal(formatRate(2.5e6), '2.50 Mbit/s');
    assert.deepEqual([-5, 59_999, 60_000, 3_900_000, 90_000_000].map(formatSpan), ['0 s', '59 s', '1 min', '1 h 5 min', '1 d 1 h']); // prettier-ignore
    assert.deepEqual([0.04, 9.94, 9.95, 180.4].map(formatMilliseconds), ['0.0 ms', '9.9 ms', '10 ms', '180 ms']);
  });

  test('a scale is the next of 1, 2, 5 that is not below', () => {
    assert.deepEqual([0, 1, 1.1, 2, 3, 5, 5.1, 1e6, 1.000_001e6, 7e9].map(niceCeiling), [1, 1, 2, 2, 5, 5, 10, 1e6, 2e6, 1e10]); // prettier-ignore
    fc.assert(
      fc.property(fc.double({ min: 1, max: 1e15, noNaN: true }), (value) => {
        const scale = niceCeiling(value);
        assert.ok(scale >= value * (1 - 1e-6) && scale <= value * 2.6, String(scale));
      }),
    );
  });
});

describe('plots', () => {
  test('fill from below, the newest at the right', () => {
    assert.deepEqual(plot([4, 8], 3, 2, 8, true), ['\u2800\u2800\u28b8', '\u2800\u2800\u28ff']);
    assert.deepEqual(plot([0, 1, 2, 3], 4, 3, 3, false), ['   #', '  ##', ' ###']);
    assert.deepEqual(plot([9, 1, 3, 2], 2, 2, 3, false), ['# ', '##'], 'the last that there is room for');
  });

  test('show what is small, and nothing where nothing is', () => {
    assert.deepEqual(plot([0, 1e-9], 1, 1, 1e9, true), ['\u2880']);
    assert.deepEqual(plot([0, 0], 1, 1, 1e9, true), ['\u2800']);
    assert.deepEqual(plot([], 2, 1, 0, false), ['  ']);
  });
});

describe('throughput', () => {
  test('is what counters grew by, in its time; another tunnel begins anew', () => {
    const throughput = new Throughput();
    const add = (receivedBytes: number, sentBytes: number, at: number) =>
      throughput.add({ receivedBytes, sentBytes }, at);
    assert.equal(add(1000, 500, 0), false);
    assert.equal(add(2000, 500, 100), false, 'a change, not a second');
    assert.equal(add(3000, 1500, 2000), true);
    assert.deepEqual(throughput.samples.at(-1), { received: 8000, sent: 4000 });
    add(100, 1500, 3000);
    assert.deepEqual(throughput.samples.at(-1), { received: 0, sent: 0 });
    for (let i = 0; i < 5000; i++) add(i, i, 4000 + i * 1000);
    assert.ok(throughput.samples.length <= 2000);
  });
});

describe('the screen of status --watch', () => {
  const samples = Array.from({ length: 300 }, (_, i) => ({ received: 1e6 * (1 + (i % 7)), sent: 1e5 }));
  const style = { unicode: true, colour: false };

  test('shows both directions on one scale, with totals', () => {
    const lines = watchScreen(
      CONNECTED,
      samples,
      { columns: 60, rows: 24 },
      Date.parse(CONNECTED.since) + 60_000,
      style,
    );
    assert.equal(lines[0], 'connected to frankfurt-1 (Frankfurt, DE), for 1 min');
    assert.equal(lines.length, 24);
    assert.equal(lines.at(-1), 'q: quit');
    assert.ok(
      lines.some((line) => /^↓ received {2,}6\.00 Mbit\/s {3}1\.23 GB in all$/.test(line)),
      lines.join('\n'),
    );
    assert.ok(lines.some((line) => line.startsWith('↑ sent')));
    assert.equal(lines.filter((line) => line.startsWith('10.0 Mbit/s▕')).length, 2);
  });

  test('fits any terminal', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 250 }),
        fc.integer({ min: 1, max: 90 }),
        fc.boolean(),
        (columns, rows, unicode) => {
          const status = { ...CONNECTED, hops: [ENTRY, ...CONNECTED.hops], message: 'x'.repeat(300) };
          const lines = watchScreen(status, samples, { columns, rows }, Date.now(), { unicode, colour: false });
          assert.ok(lines.length <= rows, `${lines.length} lines of ${rows}`);
          for (const line of lines) assert.ok(line.length <= columns, `${line.length} of ${columns}: ${line}`);
        },
      ),
    );
    assert.ok(watchScreen(STATUS, [], { columns: 80, rows: 24 }, Date.now(), style).length <= 24);
  });
});

describe('on a terminal', () => {
  let daemon: DaemonDouble;
  before(async () => {
    daemon = await daemonDouble();
  });
  after(() => daemon[Symbol.asyncDispose]());

  /** The program at a terminal of its own (script, of util-linux); `press` is typed once it shows `when`. */
  async function atTerminal(args: string, when: RegExp, press: string, size = 'rows 20 cols 70') {
    const child = spawn('script', ['-qec', `stty ${size}; exec ${program} ${args}`, '/dev/null'], {
      env: { ...process.env, TERM: 'xterm-256color', LANG: 'C.UTF-8', LC_ALL: '', NO_COLOR: '', SALLYPORT_CLIENT_SOCKET: daemon.path }, // prettier-ignore
    });
    let output = '';
    let pressed = false;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      output += text;
      if (pressed || !when.test(output)) return;
      pressed = true;
      child.stdin.write(press);
    });
    const [status] = (await once(child, 'close')) as [number];
    return { status, output };
  }

  for (const [what, key] of [
    ['q', 'q'],
    ['Ctrl-C', '\u0003'],
  ] as const) {
    test(`status --watch draws until ${what}, and leaves the terminal as it was`, async () => {
      daemon.answer = async (_asked, say, socket) => {
        for (let i = 0; !socket.destroyed; i++) {
          say({ event: { ...CONNECTED, receivedBytes: i * 1e6 } });
          await new Promise((resolve) => setTimeout(resolve, 750));
        }
      };
      const { status, output } = await atTerminal('status --watch', /Mbit\/s.*q: quit/s, key);
      assert.equal(status, 0, output);
      assert.ok(output.startsWith('\u001b[?1049h\u001b[?25l'));
      assert.ok(output.endsWith('\u001b[?25h\u001b[?1049l'), JSON.stringify(output.slice(-60)));
      assert.match(output, /received/);
      assert.match(output, /[\u2801-\u28ff]/, 'a picture');
      // Nothing is erased before it is drawn over: that is what flickers.
      assert.doesNotMatch(output, /\u001b\[2J/);
    });
  }

  test('connect redraws its steps in place', async () => {
    daemon.answer = async (_asked, say) => {
      const [first, second] = CONNECTED.steps;
      for (const steps of [
        [{ ...first, state: 'running', milliseconds: null }],
        [first, { ...second, state: 'running' }],
      ]) {
        say({ event: { ...CONNECTED, state: 'connecting', steps } });
        await new Promise((resolve) => setTimeout(resolve, 200));
      }
      say({ result: CONNECTED });
    };
    const { status, output } = await atTerminal('connect', /never/, '');
    assert.equal(status, 0, output);
    assert.match(output, /[⠋⠙⠹⠸] running/);
    assert.match(output, /\u001b\[1A/, 'it goes back up');
    const plain = output.replaceAll(/\u001b\[[\d;]*[A-Za-z]/g, '');
    assert.match(plain, /✓ ok {7}Ready {12}180 ms\r\nconnected to frankfurt-1 \(Frankfurt, DE\) in \d+ ms\r\n$/);
  });
});

describe('settings', () => {
  test('each has a key, and what is shown can be typed', () => {
    const flat = (value: object, prefix = ''): string[] =>
      Object.entries(value).flatMap(([name, inner]: [string, unknown]) =>
        typeof inner === 'object' && inner !== null && !Array.isArray(inner)
          ? flat(inner, `${prefix}${name}.`)
          : [prefix + name],
      );
    const kebab = (name: string) => name.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    assert.deepEqual(SETTING_KEYS.map(({ key }) => key).sort(), flat(SETTINGS).map(kebab).sort());
    const other = clientSettings.parse({
      ...SETTINGS,
      via: 'oslo-1',
      mtu: 1380,
      dnsServers: ['192.0.2.53', '2001:db8::53'],
      split: { mode: 'exclude', networks: ['10.0.0.0/8'] },
      autoConnect: true,
    });
    for (const settings of [SETTINGS, other]) {
      let typed = clientSettings.parse({});
      for (const key of SETTING_KEYS) typed = withSetting(typed, key, showValue(valueOf(settings, key)));
      assert.deepEqual(typed, settings);
    }
  });

  test('a change leaves the others alone', () => {
    const before = clientSettings.parse({ split: { mode: 'include', networks: ['10.0.0.0/8'] } });
    assert.equal(withSetting({ ...before, target: 'oslo' }, settingKey('target'), 'none').target, 'fastest');
    const after = withSetting(before, settingKey('split.networks'), 'none');
    assert.deepEqual(after, { ...before, split: { mode: 'include', networks: [] } });
    for (const [key, text] of [
      ['transport', 'carrier-pigeon'],
      ['split.networks', '10.0.0.0/33'],
      ['mtu', '1e3'],
      ['lockdown', ''],
    ] as const) {
      assert.throws(() => withSetting(before, settingKey(key), text), new RegExp(`^CommandFailure: ${key}: `), key);
    }
  });
});

describe('the leak test', () => {
  test('asks for names as a resolver reads it, never the same twice', () => {
    const name = freshName();
    const { questions, flags } = dnsPacket.decode(dnsQuestion(name));
    assert.deepEqual(questions?.map(({ name: asked, type }) => [asked, type]), [[name, 'A']]); // prettier-ignore
    assert.equal((flags ?? 0) & dnsPacket.RECURSION_DESIRED, dnsPacket.RECURSION_DESIRED);
    assert.notEqual(freshName(), name);
  });

  test('finds routers, neighbours and name servers', () => {
    const routes = `Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\tMTU\tWindow\tIRTT
eth0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0
eth0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0
wlan0\t00000000\tFE01000A\t0003\t0\t0\t600\t00000000\t0\t0\t0
`;
    assert.deepEqual([...defaultRouters(routes)], [['eth0', '192.168.2.1'], ['wlan0', '10.0.1.254']]); // prettier-ignore
    assert.deepEqual([...defaultRouters('')], []);
    assert.equal(neighbourOf('192.168.2.77', 24), '192.168.2.1');
    assert.equal(neighbourOf('192.168.2.1', 24), '192.168.2.2');
    assert.equal(neighbourOf('203.0.113.200', 26), '203.0.113.193');
    assert.equal(neighbourOf('10.255.1.2', 8), '10.0.0.1');
    assert.equal(neighbourOf('192.0.2.1', 32), undefined);
    assert.equal(neighbourOf('fd00::1', 64), undefined);
    assert.deepEqual(nameServersOf('# x\nnameserver 192.0.2.53\nsearch a\n nameserver fd00::53\nnameserver nonsense\n'), ['192.0.2.53', 'fd00::53']); // prettier-ignore
    assert.deepEqual(['192.168.1.1', '100.64.0.1', '203.0.113.1', 'fd00::1', '2001:db8::1'].map(isLocalRange), [true, true, false, true, false]); // prettier-ignore
    assert.deepEqual(splitEndpoint('[2001:db8::1]:51820'), { host: '2001:db8::1', port: 51_820 });
    assert.deepEqual(splitEndpoint('192.0.2.1:443'), { host: '192.0.2.1', port: 443 });
  });

  test('leaves out what the settings let through, and what it may not try', () => {
    const outer = [{ name: 'eth0', addresses: [{ address: '192.168.2.77', prefixLength: 24 }], router: '192.168.2.1' }];
    const world = { status: CONNECTED, settings: SETTINGS, outer, nameServers: [], isRoot: false };
    const skipped = (changes: object) =>
      LEAK_CHECKS.filter(({ skip }) => skip?.({ ...world, ...changes }) !== undefined).map(({ check }) => check);
    assert.deepEqual(skipped({}), ['rogue route', 'rogue network']);
    assert.deepEqual(skipped({ isRoot: true }), []);
    const allowing = { isRoot: true, settings: { ...SETTINGS, allowLocalNetwork: true } };
    assert.deepEqual(skipped(allowing), ['local network']);
    const publicNetwork = [
      { name: 'eth0', addresses: [{ address: '203.0.113.9', prefixLength: 24 }], router: undefined },
    ];
    assert.deepEqual(skipped({ ...allowing, outer: publicNetwork }), [], 'a public network is no local one');
    const including = { ...SETTINGS, split: { mode: 'include', networks: [] } };
    assert.deepEqual(skipped({ isRoot: true, settings: including }), ['addresses']);
    assert.deepEqual(skipped({ isRoot: true, status: STATUS }), ['addresses', 'server address']);
  });

  test('knows its own packets when the daemon is dead', () => {
    const four = (to: number[]) => Uint8Array.from([0x45, ...new Array<number>(15).fill(0), ...to]);
    assert.equal(documentationAddress(0x0800, four([192, 0, 2, 1])), '192.0.2.1');
    assert.equal(documentationAddress(0x0800, four([192, 0, 2, 2])), undefined);
    assert.equal(documentationAddress(0x0800, four([192, 0, 2, 1]).subarray(0, 19)), undefined);
    const six = new Uint8Array(40);
    six.set([0x20, 0x01, 0x0d, 0xb8], 24);
    assert.match(documentationAddress(0x86dd, six) ?? '', /2001:db8/);
    assert.equal(documentationAddress(0x0806, four([192, 0, 2, 1])), undefined);
  });
});

test('a terminal is written to as it can be read', () => {
  assert.deepEqual(styleFor({ isTTY: true }, { LANG: 'en_GB.UTF-8' }), { unicode: true, colour: true });
  assert.deepEqual(styleFor({ isTTY: true }, { LANG: 'en_GB.UTF-8', LC_ALL: 'C', NO_COLOR: '1' }), { unicode: false, colour: false }); // prettier-ignore
  assert.equal(styleFor({}, { LANG: 'en_GB.UTF-8' }).colour, false);
  assert.equal(styleFor({ isTTY: true }, { TERM: 'dumb' }).colour, false);
  assert.equal(printable('a\u001b[31m\n\u009b\u202eb'), 'a\ufffd[31m\ufffd\ufffd\ufffdb');
  assert.deepEqual(wrap('one two  three', 7), ['one two', 'three']);
  assert.deepEqual(wrap('', 7), []);
  assert.deepEqual(wrap('averylongword x', 3), ['averylongword', 'x']);
});
