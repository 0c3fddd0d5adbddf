/** What the client's commands ask the daemon, and what they make of its answers. */
import assert from 'node:assert/strict';
import { chmodSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, beforeEach, describe, test } from 'node:test';
import { CONNECTED, daemonDouble, ENTRY, idle, program, SETTINGS, STATUS, type DaemonDouble } from './daemon-double.ts';

let daemon: DaemonDouble;
before(async () => {
  daemon = await daemonDouble();
});
after(() => daemon[Symbol.asyncDispose]());
beforeEach(() => {
  daemon.answer = idle;
  daemon.asked.length = 0;
});

describe('connect', () => {
  test('tells each step once, and where it is in the end', async () => {
    daemon.answer = (_asked, say) => {
      const [first, second, third] = CONNECTED.steps;
      const running = { ...CONNECTED, state: 'connecting', hops: [] };
      say({ event: { ...running, steps: [{ ...first, state: 'running', milliseconds: null }] } });
      say({ event: { ...running, steps: [first, { ...second, state: 'failed', detail: 'oslo-1, no answer' }] } });
      say({ event: { ...running, steps: [first, second] } });
      say({ event: { ...running, steps: [first, second] } });
      say({ result: { ...CONNECTED, steps: [first, second, third] } });
    };
    const { status, stdout, stderr } = await daemon.run(['connect', 'frankfurt', '--via', 'oslo-1', '--advertise', '10.1.0.0/24, fd10::/64']); // prettier-ignore
    assert.equal(status, 0, stderr);
    assert.equal(stdout, '');
    assert.deepEqual(daemon.asked, [
      { method: 'connect', params: { target: 'frankfurt', via: 'oslo-1', advertise: ['10.1.0.0/24', 'fd10::/64'] } },
    ]);
    assert.match(
      stderr,
      /^✓ ok {7}Configuration {2}as of now {2}31 ms\n✗ fault {4}Gateway {8}oslo-1, no answer {2}4\.2 ms\n✓ ok {7}Gateway {8}frankfurt-1, WireGuard {2}4\.2 ms\n✓ ok {7}Ready {12}180 ms\nconnected to frankfurt-1 \(Frankfurt, DE\) in \d+ ms\n$/,
    );
  });

  test('leaves to the daemon what was not said; "none" takes networks back', async () => {
    daemon.answer = (_asked, say) => {
      say({ result: CONNECTED });
    };
    await daemon.run(['connect']);
    const { status, stdout } = await daemon.run(['connect', '--advertise', 'none', '--json']);
    assert.equal(status, 0);
    assert.deepEqual(daemon.asked.map(({ params }) => params), [
      { target: null, via: null, advertise: null },
      { target: null, via: null, advertise: [] },
    ]); // prettier-ignore
    const { milliseconds, ...rest } = JSON.parse(stdout) as { milliseconds: number };
    assert.deepEqual(rest, CONNECTED);
    assert.ok(Number.isInteger(milliseconds));
  });

  test('a result that is no connection is none', async () => {
    daemon.answer = (_asked, say) => {
      say({ result: { ...STATUS, message: 'somebody else disconnected' } });
    };
    const { status, stderr } = await daemon.run(['connect']);
    assert.equal(status, 1);
    assert.equal(stderr, 'sallyport: somebody else disconnected\n');
  });
});

const refusals = [
  ['notLoggedIn', 66, /no account; log in: sallyport login URL\n/],
  ['badRequest', 64, /no account\n/],
  ['refused', 77, /no account\n/],
  ['unreachable', 69, /sallyport doctor/],
  ['blocked', 75, /nothing leaves this machine meanwhile; .*sallyport disconnect/],
  ['notPermitted', 77, /no account\n/],
  ['conflict', 1, /no account\n/],
  ['failed', 1, /no account\n/],
] as const;
for (const [code, exit, message] of refusals) {
  test(`what the daemon refuses as ${code} ends with ${exit}`, async () => {
    daemon.answer = (_asked, say) => {
      say({ error: { code, message: 'no account' } });
    };
    const { status, stdout, stderr } = await daemon.run(['connect', '--json']);
    assert.equal(status, exit);
    assert.equal(stdout, '');
    assert.match(stderr, message);
    assert.match(stderr, /^sallyport: no account/);
  });
}

describe('answers that no daemon of this version gives', () => {
  const answers: Record<string, (say: (message: object | string) => void) => void> = {
    'no JSON': (say) => {
      say('nonsense\n');
    },
    'another form': (say) => {
      say({ result: { ...STATUS, state: 'levitating' } });
    },
    'a field too many': (say) => {
      say({ result: { ...STATUS, more: 1 } });
    },
    'an error of an unknown kind': (say) => {
      say({ error: { code: 'whatever', message: '' } });
    },
    'an event where there are none': (say) => {
      say({ event: STATUS });
    },
    'a line without end': (say) => {
      say('x'.repeat(300 * 1024));
    },
  };
  for (const [what, give] of Object.entries(answers)) {
    test(what, async () => {
      daemon.answer = (_asked, say) => {
        give(say);
      };
      const { status, stdout, stderr } = await daemon.run(['status']);
      assert.equal(status, 1);
      assert.equal(stdout, '');
      assert.match(stderr, /of another version than this command; run: sudo systemctl restart sallyport-client\n$/);
    });
  }

  test('an end in the middle', async () => {
    daemon.answer = (_asked, say, socket) => {
      say('{"id":1,');
      socket.end();
    };
    const { status, stderr } = await daemon.run(['status']);
    assert.equal(status, 69);
    assert.match(stderr, /ended meanwhile; start it: /);
  });
});

describe('a daemon that can’t be asked', () => {
  test('where it does not run, says how to start it', async () => {
    for (const path of [join(daemon.folder, 'none'), join(daemon.folder, 'not-a-socket')]) {
      writeFileSync(join(daemon.folder, 'not-a-socket'), '');
      const { status, stderr } = await daemon.run(['status'], { env: { SALLYPORT_CLIENT_SOCKET: path } });
      assert.equal(status, 69);
      assert.match(stderr, /is not running; start it: sudo systemctl enable --now sallyport-client/);
    }
  });

  test('by who is not in its group, says how to get in', { skip: process.getuid?.() !== 0 }, async () => {
    chmodSync(daemon.folder, 0o755);
    chmodSync(daemon.path, 0o600);
    const { status, stderr } = await daemon.run(['status'], { uid: 65_534, env: { HOME: '/' } });
    assert.equal(status, 77);
    assert.match(
      stderr,
      /only root and the group sallyport may use the client; run: sudo usermod -aG sallyport nobody, /,
    );
  });

  test('nor by a user without a name', { skip: process.getuid?.() !== 0 }, async () => {
    const { status, stderr } = await daemon.run(['status'], { uid: 4_242_424, env: { HOME: '/' } });
    assert.equal(status, 77, stderr);
    assert.match(stderr, /only root and the group sallyport .*no name for your user \(4242424\)/);
  });

  test('doctor has that among its findings, with code 1', async () => {
    const env = { SALLYPORT_CLIENT_SOCKET: join(daemon.folder, 'none') };
    const { status, stdout } = await daemon.run(['doctor', '--json'], { env });
    assert.equal(status, 1);
    const { items } = JSON.parse(stdout) as { items: { check: string; state: string; remedy: string }[] };
    assert.equal(items.length, 1);
    assert.deepEqual([items[0].check, items[0].state], ['daemon', 'fault']);
    assert.match(items[0].remedy, /systemctl/);
  });
});

describe('status', () => {
  test('in words', async () => {
    daemon.answer = (_asked, say) => {
      say({
        result: {
          ...CONNECTED,
          since: new Date(Date.now() - 3_900_000).toISOString(),
          hops: [ENTRY, ...CONNECTED.hops],
          killSwitch: 'lockdown',
          requirements: { killSwitch: true, regions: ['frankfurt'], gateways: [] },
          advertised: [{ prefix: '10.1.0.0/24', approved: false }],
        },
      });
    };
    const { status, stdout } = await daemon.run(['status']);
    assert.equal(status, 0);
    assert.equal(
      stdout,
      `connected to frankfurt-1 (Frankfurt, DE) by way of oslo-1 (Oslo, NO), for 1 h 5 min
  entry        [2001:db8::20]:443 by TLS (WebSocket)
  exit         198.51.100.10:51820 by WireGuard, post-quantum keys, 12 ms
  traffic      1.23 GB received, 98.8 kB sent
  MTU          1420 bytes
  names        100.64.0.1, by systemd-resolved
  kill switch  lockdown: nothing leaves this machine without a tunnel (demanded by an administrator)
  allowed      frankfurt
  advertised   10.1.0.0/24, waits for an administrator’s approval
  account      alice at https://vpn.example.org
  device       alice-laptop, 100.64.0.5, fd00::5
`,
    );
  });

  test('names of others don’t steer the terminal', async () => {
    const name = 'evil\u001b]0;x\u0007\u202e';
    daemon.answer = (_asked, say) => {
      const [hop] = CONNECTED.hops;
      say({ result: { ...CONNECTED, message: name, hops: [{ ...hop, name, endpoint: name }], target: name } });
    };
    for (const args of [['status'], ['connect'], ['disconnect']]) {
      const { stdout, stderr } = await daemon.run(args);
      assert.doesNotMatch(stdout + stderr, /[\u001b\u0007\u202e]/, args.join());
    }
    daemon.answer = (_asked, say) => {
      const [hop] = CONNECTED.hops;
      say({ event: { ...CONNECTED, hops: [{ ...hop, name }] } });
    };
    const { stdout } = await daemon.run(['status', '--watch'], { until: /\n/ });
    assert.match(stdout, / connected evil\ufffd\]0;x/);
  });

  test('nor does what a server had refused, which is one line', async () => {
    daemon.answer = (_asked, say) => {
      say({ error: { code: 'refused', message: 'no\u001b[2J\nmore\u202e: sallyport regions\n' } });
    };
    for (const args of [['connect'], ['login', 'http://127.0.0.1:1'], ['regions'], ['set']]) {
      const { status, stderr } = await daemon.run(args);
      assert.deepEqual([status, stderr], [77, 'sallyport: no\ufffd[2J more\ufffd: sallyport regions\n'], args.join());
    }
  });

  test('as JSON it is the daemon’s own', async () => {
    const { stdout } = await daemon.run(['status', '--json']);
    assert.deepEqual(JSON.parse(stdout), STATUS);
  });

  test('--watch prints a line a second, or an object', async () => {
    daemon.answer = async (_asked, say, socket) => {
      for (let i = 0; !socket.destroyed; i++) {
        say({ event: { ...CONNECTED, receivedBytes: i * 1_000_000, sentBytes: 0 } });
        await new Promise((resolve) => setTimeout(resolve, 800));
      }
    };
    // A megabyte in 0.8 s, as far as a busy machine keeps time: of what comes at once there is no rate.
    const words = await daemon.run(['status', '--watch'], { until: /(.*\n){2}.* Mbit\/s .*\n/ });
    const lines = words.stdout.trim().split('\n');
    assert.match(lines[0], /^\d\d:\d\d:\d\d connected frankfurt-1 received 0 bit\/s \(0 B\) sent 0 bit\/s \(0 B\)$/);
    assert.ok(
      lines.some((line) => / received \d+(\.\d+)? Mbit\/s \(\d\.00 MB\) /.test(line)),
      words.stdout,
    );
    const json = await daemon.run(['status', '--watch', '--json'], { until: /"receivedBitsPerSecond":[1-9].*\n/ });
    const samples = json.stdout.trim().split('\n').map((line) => JSON.parse(line) as Record<string, number>); // prettier-ignore
    assert.equal(samples[0]?.['receivedBitsPerSecond'], 0);
    const rate = samples.at(-1)?.['receivedBitsPerSecond'] ?? 0;
    assert.ok(rate > 1_000_000 && rate < 100_000_000, String(rate));
  });
});

describe('regions', () => {
  const choice = { regionId: 'oslo', region: 'Oslo', country: 'NO', city: 'Oslo', load: 'low', draining: false, recommended: false } as const; // prettier-ignore

  test('the nearest first, those that did not answer last', async () => {
    daemon.answer = (_asked, say) => {
      say({
        result: {
          items: [
            { ...choice, gatewayId: '1', gateway: 'oslo-9', latencyMs: null, load: 'unknown' },
            { ...choice, gatewayId: '2', gateway: 'oslo-1', latencyMs: 31.4, draining: true },
            { ...choice, gatewayId: '3', gateway: 'oslo-2', latencyMs: 4.26, recommended: true, load: 'high' },
          ],
        },
      });
    };
    const { stdout } = await daemon.run(['regions']);
    assert.equal(
      stdout,
      `region  gateway  place     latency    load
Oslo    oslo-2   Oslo, NO  4.3 ms     high  *
Oslo    oslo-1   Oslo, NO  31 ms      low   being closed
Oslo    oslo-9   Oslo, NO  no answer  -
`,
    );
  });

  test('and completion has their names, for a shell to take', async () => {
    daemon.answer = (_asked, say) => {
      const gateways = ['oslo-1', 'oslo-2', '$(reboot)'];
      say({ result: { items: gateways.map((gateway) => ({ ...choice, gatewayId: gateway, gateway, latencyMs: 1 })) } });
    };
    assert.equal((await daemon.run(['completion', 'places'])).stdout, 'oslo\noslo-1\noslo-2\n');
    const silent = await daemon.run(['completion', 'places'], { env: { SALLYPORT_CLIENT_SOCKET: '/nowhere' } });
    assert.deepEqual([silent.status, silent.stdout, silent.stderr], [0, '', '']);
  });
});

describe('set', () => {
  test('changes one setting and sends all', async () => {
    daemon.answer = ({ method, params }, say) => {
      say({ result: method === 'set' ? params : { ...SETTINGS, lockdown: true } });
    };
    const { status, stderr } = await daemon.run(['set', 'split.networks', '10.0.0.0/8,fd00::/8']);
    assert.equal(status, 0, stderr);
    assert.equal(stderr, 'split.networks is 10.0.0.0/8,fd00::/8\n');
    assert.deepEqual(daemon.asked.at(-1), {
      method: 'set',
      params: { ...SETTINGS, lockdown: true, split: { mode: 'off', networks: ['10.0.0.0/8', 'fd00::/8'] } },
    });
  });

  test('refuses what it does not take before the daemon is told', async () => {
    for (const [args, message] of [
      [['set', 'kil-switch', 'on'], /there is no setting "kil-switch"; did you mean kill-switch\?/],
      [['set', 'lockdown', 'maybe'], /lockdown: "maybe" is neither on nor off/],
      [['set', 'mtu', '100'], /mtu: "100" is not what it takes/],
      [
        ['set', 'dns-servers', 'dns.example'],
        /dns-servers: "dns.example" is not what it takes \(an IPv4 or IPv6 address\)/,
      ],
    ] as const) {
      const { status, stderr } = await daemon.run(args);
      assert.equal(status, 64);
      assert.match(stderr, message);
    }
    assert.ok(daemon.asked.every(({ method }) => method === 'settings'));
  });

  test('shows one, or all with what they mean', async () => {
    assert.equal((await daemon.run(['set', 'allow-dhcp'])).stdout, 'on\n');
    assert.equal((await daemon.run(['set', 'via'])).stdout, 'none\n');
    assert.equal((await daemon.run(['set', 'via', '--json'])).stdout, 'null\n');
    const { stdout } = await daemon.run(['set']);
    assert.match(stdout, /^kill-switch {10}on\n {4}From "connect" on nothing leaves/);
    assert.deepEqual(JSON.parse((await daemon.run(['set', '--json'])).stdout), SETTINGS);
  });
});

test('doctor tells each check with its remedy, and the exit code says whether there is a fault', async () => {
  const check = { check: 'clock', state: 'ok', detail: 'right', remedy: '' };
  const fault = { check: 'udp', state: 'fault', detail: 'no answer', remedy: 'allow UDP' };
  daemon.answer = (_asked, say) => {
    say({ event: check });
    say({ event: fault });
    say({ result: { items: [check, fault] } });
  };
  const faulty = await daemon.run(['doctor']);
  assert.equal(faulty.status, 1);
  assert.match(
    faulty.stdout,
    /^✓ ok {7}clock {9}right\n✗ fault {4}udp {11}no answer\n +To do: allow UDP\n\n1 fault\n$/,
  );
  daemon.answer = (_asked, say) => {
    say({ event: { ...check, state: 'warning' } });
    say({ result: { items: [] } });
  };
  const warned = await daemon.run(['doctor'], { env: { LANG: 'C' } });
  assert.equal(warned.status, 0);
  assert.match(warned.stdout, /^warning {2}clock/);
});

describe('leaktest', () => {
  const watched = { interfaces: ['eth0'], packets: 3, leaked: [] as { what: string; packets: number }[] };
  /** Without a network, so that nothing leaves this machine for a test. */
  const leaktest = (...args: string[]) => daemon.run(['--net', program, 'leaktest', ...args], { command: 'unshare' });
  const event = { watching: true };

  test('says what left, by which try, with code 1', async () => {
    let watches = 0;
    daemon.answer = ({ method }, say) => {
      if (method === 'status') say({ result: CONNECTED });
      else if (method === 'settings') say({ result: SETTINGS });
      else {
        const leaked = ++watches === 4 ? [{ what: 'udp 53 to 192.0.2.1', packets: 2 }] : [];
        say({ event });
        say({ result: { ...watched, leaked } });
      }
    };
    const { status, stdout, stderr } = await leaktest();
    assert.equal(status, 1, stderr);
    assert.match(stdout, /✗ leak {5}DNS .*\n.*\n +left: udp 53 to 192\.0\.2\.1 \(2 packets\)\n/);
    assert.equal(stdout.match(/✗ leak/g)?.length, 1);
    assert.match(stdout, /– skipped {2}bound .*\n +there is no outer interface\n/);
    assert.match(stdout, /\nThis machine leaks: 1 of 6 tries; 3 not tried\n$/);
    assert.ok(daemon.asked.every(({ method }) => ['status', 'settings', 'leakWatch'].includes(method)));
  });

  test('and that nothing did, with code 0', async () => {
    daemon.answer = ({ method }, say) => {
      if (method === 'leakWatch') say({ event });
      say({ result: method === 'status' ? CONNECTED : method === 'settings' ? SETTINGS : watched });
    };
    const { status, stdout } = await leaktest('--json');
    assert.equal(status, 0);
    const report = JSON.parse(stdout) as { leaks: number; state: string; checks: { state: string }[] };
    assert.deepEqual([report.leaks, report.state, report.checks.length], [0, 'connected', 9]);
    assert.ok(report.checks.every(({ state }) => state === 'ok' || state === 'skipped'));
  });

  for (const [what, answer, words] of [
    ['that fails', { error: { code: 'failed', message: 'no capture' } }, /no capture/],
    ['of which nobody knows when it began', { result: watched }, /does not say when it watches: restart it/],
  ] as const)
    test(`a watch ${what} is no proof of anything`, async () => {
      daemon.answer = ({ method }, say) => {
        say(method === 'leakWatch' ? answer : { result: method === 'status' ? CONNECTED : SETTINGS });
      };
      const { status, stdout, stderr } = await leaktest('--json');
      assert.equal(status, 1);
      assert.equal(stdout, '');
      assert.match(stderr, words);
    });
});

describe('outside', () => {
  test('asks for its own process, whose place the command takes', async () => {
    daemon.answer = (_asked, say) => {
      say({ result: {} });
    };
    const { status, stdout, pid } = await daemon.run([
      'outside',
      'sh',
      '-c',
      'echo "$$ $0 $1"; exit 7',
      'zero',
      '--json',
    ]);
    assert.equal(status, 7);
    const [own, ...rest] = stdout.trim().split(' ');
    assert.deepEqual(rest, ['zero', '--json']);
    assert.deepEqual(daemon.asked, [{ method: 'outside', params: { pid: Number(own) } }]);
    assert.equal(Number(own), pid);
  });

  test('runs nothing that the daemon did not let out', async () => {
    daemon.answer = (_asked, say) => {
      say({ error: { code: 'failed', message: 'no cgroup' } });
    };
    const { status, stdout } = await daemon.run(['outside', 'echo', 'out']);
    assert.equal(status, 1);
    assert.equal(stdout, '');
  });

  test('a command that there is not, or may not be run, is refused first', async () => {
    assert.equal((await daemon.run(['outside', 'no-such-command-here'])).status, 66);
    writeFileSync(join(daemon.folder, 'plain'), '');
    assert.equal((await daemon.run(['outside', join(daemon.folder, 'plain')])).status, 77);
    assert.equal((await daemon.run(['outside', '--frobnicate', 'ls'])).status, 64);
    assert.deepEqual(daemon.asked, []);
    const help = await daemon.run(['outside', '--help']);
    assert.equal((await daemon.run(['help', 'outside'])).stdout, help.stdout);
  });
});

describe('login', () => {
  const event = {
    verificationUri: 'http://127.0.0.1:1/client',
    verificationUriComplete: 'http://127.0.0.1:1/client?code=BCDF-GHJK',
    userCode: 'BCDF-GHJK',
    expiresAt: '',
  };
  beforeEach(() => {
    event.expiresAt = new Date(Date.now() + 600_000).toISOString();
  });

  test('shows link and code, and who the machine is in the end', async () => {
    daemon.answer = ({ method }, say) => {
      if (method === 'login') say({ event });
      say({ result: method === 'login' ? CONNECTED : STATUS });
    };
    const { status, stderr } = await daemon.run(['login', 'http://127.0.0.1:1/some/page', '--name', 'box']);
    assert.equal(status, 0, stderr);
    assert.match(stderr, /\n {2}http:\/\/127\.0\.0\.1:1\/client\?code=BCDF-GHJK\n/);
    assert.match(stderr, /\n {2}BCDF-GHJK\n\nWaiting, for 10 minutes at most …\n/);
    assert.match(
      stderr,
      /this machine is alice-laptop of alice at https:\/\/vpn\.example\.org; .*sallyport connect\n$/,
    );
    assert.deepEqual(daemon.asked.at(-1), {
      method: 'login',
      params: { url: 'http://127.0.0.1:1', fingerprint: null, token: null, deviceName: 'box' },
    });
    const json = await daemon.run(['login', 'http://127.0.0.1:1', '--json']);
    assert.deepEqual(json.stdout.trim().split('\n').map((line) => JSON.parse(line) as unknown), [event, CONNECTED]); // prettier-ignore
  });

  test('of a machine: an API token from a file, never from the command line', async () => {
    daemon.answer = ({ method }, say) => {
      say({ result: method === 'login' ? CONNECTED : STATUS });
    };
    const token = `spt_${'A'.repeat(43)}`;
    const file = join(daemon.folder, 'token');
    writeFileSync(file, `${token}\n`, { mode: 0o644 });
    const fingerprint = 'AB:'.repeat(32).slice(0, -1);
    const { stderr } = await daemon.run([
      'login',
      'https://127.0.0.1:1',
      '--token-file',
      file,
      '--fingerprint',
      fingerprint,
    ]);
    assert.match(stderr, /^Warning: everyone can read /);
    assert.ok(!stderr.includes(token));
    const { params } = daemon.asked.at(-1)!;
    assert.deepEqual([params['token'], params['fingerprint']], [token, 'ab'.repeat(32)]);
    await daemon.run(['login', 'http://127.0.0.1:1', '--token-file', '-'], { input: `${token}\n` });
    assert.equal(daemon.asked.at(-1)!.params['token'], token);
    for (const [args, exit] of [
      [['--token-file', join(daemon.folder, 'none')], 66],
      [['--token-file', '/dev/null'], 65],
      [['--fingerprint', 'ab'], 64],
      [['--user', 'alice', '--name', 'box'], 64],
    ] as const) {
      assert.equal((await daemon.run(['login', 'http://127.0.0.1:1', ...args])).status, exit, args.join(' '));
    }
  });
});

describe('logout', () => {
  test('is the client’s where it is logged in, else the command line’s', async () => {
    daemon.answer = ({ method }, say) => {
      say({ result: method === 'logout' ? STATUS : CONNECTED });
    };
    assert.equal((await daemon.run(['logout'])).stderr, 'the client is logged out\n');
    assert.deepEqual(daemon.asked.map(({ method }) => method), ['status', 'logout']); // prettier-ignore
    daemon.asked.length = 0;
    assert.equal((await daemon.run(['logout', '--api'])).stderr, 'nobody is logged in here\n');
    assert.deepEqual(daemon.asked, []);
    daemon.answer = idle;
    assert.equal((await daemon.run(['logout'])).stderr, 'nobody is logged in here\n');
    const env = { SALLYPORT_CLIENT_SOCKET: '/nowhere' };
    assert.equal((await daemon.run(['logout'], { env })).stderr, 'nobody is logged in here\n');
    for (const args of [
      ['logout', '--json'],
      ['logout', '--api', '--json'],
    ]) {
      const { status, stdout, stderr } = await daemon.run(args, { env });
      assert.deepEqual([status, JSON.parse(stdout), stderr], [0, { loggedOut: false }, ''], args.join());
    }
    assert.equal((await daemon.run(['logout', '--client'], { env })).status, 69);
    assert.equal((await daemon.run(['logout', '--client', '--api'])).status, 64);
  });
});
