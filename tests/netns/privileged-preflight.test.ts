import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { Laboratory, until, wire } from '@sallyport/netlab';
import type { NetworkNamespace } from '@sallyport/netlab';
import type { PreflightOptions, PreflightResult } from '@sallyport/privileged';

const RUN = fileURLToPath(new URL('./preflight-run.ts', import.meta.url));
const options = {
  interfaceName: 'gate0',
  pools: ['10.77.0.0/16', 'fd77::/64'],
  tcpListens: [{ port: 8443 }, { host: '127.0.0.1', port: 9000 }],
  udpPorts: [51820],
} satisfies PreflightOptions;

let laboratory: Laboratory;
let machine: NetworkNamespace;
let other: NetworkNamespace;

before(async () => {
  laboratory = Laboratory.open();
  machine = await laboratory.namespace('machine');
  other = await laboratory.namespace('other');
});

after(() => laboratory.close());

async function preflight(changes: Partial<PreflightOptions> = {}): Promise<Map<string, PreflightResult>> {
  const { stdout } = await machine.run([process.execPath, RUN, JSON.stringify({ ...options, ...changes })]);
  return new Map((JSON.parse(stdout) as PreflightResult[]).map((result) => [result.what, result]));
}

test('a machine that has everything is told so, and nothing is left behind', async () => {
  const results = await preflight();
  assert.deepEqual(
    [...results.values()].filter(({ ok }) => !ok),
    [],
  );
  for (const what of ['root', 'TUN device', 'program nft', 'packet filter of the kernel', 'UDP port 51820'])
    assert.ok(results.has(what), what);
  assert.equal((await machine.run(['nft', 'list', 'tables'])).stdout, '');
});

test('what is in the way is named, with a remedy', async () => {
  await wire(
    { namespace: machine, name: 'gate0', addresses: ['192.0.2.1/24'] },
    { namespace: other, name: 'peer0', addresses: ['192.0.2.2/24'] },
  );
  await machine.route('10.77.3.0/24', 'via', '192.0.2.2');
  await wire(
    { namespace: machine, name: 'lan0', addresses: ['10.77.4.1/24'] },
    { namespace: other, name: 'lan1', addresses: ['10.77.4.2/24'] },
  );
  await machine.nft(
    `table ip filter {
      chain FORWARD {
        type filter hook forward priority filter; policy drop;
      }
    }\n`,
  );
  const listen = `
    require('node:net').createServer().listen(8443);
    require('node:dgram').createSocket('udp4').bind(51820, () => console.log('ready'));`;
  const taken = await machine.start([process.execPath, '--eval', listen]);
  await until('the ports to be taken', () => taken.stdout.includes('ready'));
  const results = await preflight({ tcpListens: [...options.tcpListens, { host: '198.51.100.1', port: 443 }] });
  for (const [what, detail, remedy, required] of [
    ['TCP port 8443', /is taken/, /ss -lnp/, true],
    ['TCP port 443 of 198.51.100.1', /not/, /address of this machine/, true],
    ['UDP port 51820', /is taken/, /ss -lnp/, true],
    ['interface name', /gate0 exists already/, /ip link delete gate0/, true],
    ['other firewalls', /ip filter FORWARD/, /ufw route allow in on gate0/, false],
    ['address pools', /10\.77\.4\.0\/24 \(lan0\)/, /choose address pools/, false],
  ] as const) {
    const result = results.get(what);
    assert.ok(result !== undefined && !result.ok, what);
    assert.match(result.detail, detail);
    assert.match(result.remedy, remedy);
    assert.equal(result.required, required);
  }
  assert.equal(results.get('TCP port 9000 of 127.0.0.1')?.ok, true);
});
