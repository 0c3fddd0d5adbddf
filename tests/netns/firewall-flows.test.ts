/** What happens to flows that go on while the policy changes, and to packets that don't fit any. */
import assert from 'node:assert/strict';
import { after, beforeEach, describe, test } from 'node:test';
import type { FirewallDevice, FirewallPlan, Grant, GroupPlan } from '@sallyport/policy';
import {
  ACK,
  FirewallRig,
  OWN,
  packetOf,
  reversed,
  RST,
  sameAddress,
  SYN,
  TCP,
  UDP,
  unreachable,
  type Flow,
  type Seen,
} from './firewall-rig.ts';

const rig = new FirewallRig();
after(() => rig.close());

const network = (prefix: string, more: Partial<Grant> = {}): Grant => ({
  rule: prefix,
  destination: { kind: 'network', prefix },
  protocol: 'any',
  ports: [],
  ...more,
});
const internet: Grant = { rule: 'internet', destination: { kind: 'internet' }, protocol: 'any', ports: [] };
const device = (index: number, ...groups: string[]): FirewallDevice => ({
  id: `device${String(index)}`,
  ipv4: `10.64.0.${String(index)}`,
  ipv6: `fd5a::${String(index)}`,
  groups,
});
const groups: GroupPlan[] = [
  { id: 'web', grants: [internet] },
  { id: 'office', grants: [network('10.1.0.0/16'), network('fd00:1::/32')] },
  { id: 'peers', grants: [network('10.64.0.3/32', { protocol: 'tcp', ports: [{ from: 80, to: 80 }] })] },
];
const base: FirewallPlan = {
  interfaceName: 'spt0',
  gateway: { pool4: '10.64.0.0/10', pool6: 'fd5a::/48', address4: '10.64.0.1', address6: 'fd5a::1', egress: {} },
  ownAddresses: ['198.51.100.7', '198.51.100.8', '198.51.100.9', '2001:db8::7', '2001:db8::8', '2001:db8::9'],
  localTcpPorts: [8443],
  groups,
  devices: [device(2, 'web', 'office'), device(3, 'office'), device(4, 'peers')],
  names: {},
};

let nextPort = 20_000;
beforeEach(() => {
  rig.generation = 1_000_000 + nextPort;
  rig.apply(base, true);
});

function flowFrom(index: number, family: 4 | 6, protocol = TCP): Flow {
  const addresses =
    family === 4
      ? { source: `10.64.0.${String(index)}`, destination: '10.1.2.3' }
      : { source: `fd5a::${String(index)}`, destination: 'fd00:1::3' };
  return { ...addresses, protocol, sourcePort: nextPort++, destinationPort: 443 };
}

/** A TCP flow or another one, established, with the packets that go on in it. */
class Established {
  readonly flow: Flow;
  readonly by: 'tunnel' | 'outside';
  #back: Flow;
  #sequence = 1001;
  #peerSequence = 5001;

  /** `by` is where the other end is. */
  constructor(flow: Flow, by: 'tunnel' | 'outside' = 'outside') {
    this.flow = flow;
    this.by = by;
    const first = this.#to(rig.exchange('tunnel', packetOf(flow, { flags: SYN, sequence: 1000 })));
    assert.ok(first !== undefined, 'the first packet passes');
    // The other end answers to whom it saw: the translated source.
    this.#back = reversed({ ...flow, source: first.source, sourcePort: first.sourcePort });
    const answer = { flags: SYN | ACK, sequence: 5000, acknowledgment: 1001 };
    assert.ok(this.#from(rig.exchange(by, packetOf(this.#back, answer))), 'the answer passes');
    assert.ok(this.sends(), 'it is established');
  }

  get translated(): string {
    return this.#back.destination;
  }

  /** Whether a packet of the device reaches the other end. */
  sends(): boolean {
    const shape = { flags: ACK, sequence: this.#sequence, acknowledgment: this.#peerSequence };
    return this.#to(this.exchange(shape)) !== undefined;
  }

  exchange(shape: { flags: number; sequence: number; acknowledgment: number }): Seen[] {
    return rig.exchange('tunnel', packetOf(this.flow, shape));
  }

  /** Whether a packet of the other end reaches the device. */
  receives(): boolean {
    const shape = { flags: ACK, sequence: this.#peerSequence, acknowledgment: this.#sequence };
    return this.#from(rig.exchange(this.by, packetOf(this.#back, shape)));
  }

  /** Whether an error about the device's packet, from a router on the way, reaches the device. */
  hearsOfError(router: string): boolean {
    const about = packetOf(reversed(this.#back), { flags: ACK, sequence: this.#sequence });
    const seen = rig.exchange(this.by, unreachable(router, this.translated, about.subarray(0, 100)));
    return seen.some((one) => one.from === 'tunnel' && sameAddress(one.source, router));
  }

  #to(seen: readonly Seen[]): Seen | undefined {
    return seen.find(
      (one) =>
        one.from === this.by &&
        one.destinationPort === this.flow.destinationPort &&
        sameAddress(one.destination, this.flow.destination),
    );
  }

  #from(seen: readonly Seen[]): boolean {
    return seen.some(
      (one) =>
        one.from === 'tunnel' &&
        sameAddress(one.destination, this.flow.source) &&
        one.destinationPort === this.flow.sourcePort,
    );
  }
}

const without = (plan: FirewallPlan, id: string): FirewallPlan => ({
  ...plan,
  devices: plan.devices.filter((one) => one.id !== id),
});

for (const family of [4, 6] as const) {
  describe(`IPv${String(family)}`, () => {
    test('a revocation cuts established flows with the next packet either way, and others go on', () => {
      for (const protocol of [TCP, UDP]) {
        rig.apply(base, true);
        const [revokedSends, revokedReceives, stays] = [
          flowFrom(2, family, protocol),
          flowFrom(2, family, protocol),
          flowFrom(3, family, protocol),
        ].map((flow) => new Established(flow));
        const { restrictive, cut, transactions } = rig.apply(without(base, 'device2'));
        assert.equal(restrictive, true);
        assert.deepEqual(cut, ['10.64.0.2', 'fd5a::2']);
        assert.ok(transactions.flat().length < 10);
        assert.equal(revokedSends.sends(), false);
        assert.equal(revokedSends.receives(), false);
        assert.equal(revokedReceives.receives(), false);
        assert.equal(revokedReceives.sends(), false);
        // It is decided anew at a packet that comes back, too.
        assert.equal(stays.receives(), true);
        assert.equal(stays.sends(), true);
      }
    });

    test('a flow that lost its permission is silent, and goes on when it has it again', () => {
      const flow = new Established(flowFrom(2, family));
      rig.apply({ ...base, devices: [device(2, 'web'), ...base.devices.slice(1)] });
      assert.deepEqual(flow.exchange({ flags: ACK, sequence: 1001, acknowledgment: 5001 }), []);
      rig.apply(base);
      assert.equal(flow.sends(), true);
      assert.equal(flow.receives(), true);
    });

    test('a rule, a name or an own address that goes cuts what it allowed', () => {
      const destination = family === 4 ? '8.8.8.8' : '2606:4700::1111';
      const named: FirewallPlan = {
        ...base,
        groups: [{ id: 'office', grants: [{ ...internet, destination: { kind: 'name', name: 'a.example' } }] }],
        names: { 'a.example': [destination] },
      };
      rig.apply(named);
      const byName = new Established({ ...flowFrom(3, family), destination });
      rig.apply({ ...named, names: { 'a.example': ['9.9.9.9'] } });
      assert.equal(byName.sends(), false);
      rig.apply(base);
      const toInternet = new Established({ ...flowFrom(2, family), destination });
      rig.apply({ ...base, ownAddresses: [destination] });
      assert.equal(toInternet.receives(), false);
      rig.apply(base);
      const byRule = new Established({ ...flowFrom(2, family), destination });
      rig.apply({ ...base, groups: groups.slice(1) });
      assert.equal(byRule.receives(), false);
    });

    test('an address that changes hands takes its flows along nowhere', () => {
      const old = new Established(flowFrom(2, family));
      const other = { ...device(2, 'web', 'office'), id: 'another' };
      // Same address, same groups: the kernel has nothing to change but the generation.
      const change = rig.apply({ ...base, devices: [other, ...base.devices.slice(1)] });
      assert.deepEqual(change.cut, ['10.64.0.2', 'fd5a::2']);
      assert.equal(change.restrictive, true);
      assert.equal(old.sends(), true, 'the filter alone can not tell: hence cut');
    });

    test('made anew, the table keeps the flows that it still allows', () => {
      const [goes, stays] = [new Established(flowFrom(2, family)), new Established(flowFrom(3, family))];
      rig.generation = 77;
      rig.apply(without(base, 'device2'), true);
      assert.equal(goes.receives(), false);
      assert.equal(stays.receives(), true);
      assert.equal(stays.sends(), true);
    });

    test('errors about a flow pass while it may, and not when it may not', () => {
      const router = family === 4 ? '172.31.0.1' : 'fd00:99::1';
      const flow = new Established(flowFrom(2, family));
      assert.equal(flow.hearsOfError(router), true);
      rig.apply(without(base, 'device2'));
      assert.equal(flow.hearsOfError(router), false);
      // One that is decided anew waits for its own packet.
      const other = new Established(flowFrom(3, family));
      rig.apply({ ...base, devices: [device(3, 'office')] });
      assert.equal(other.hearsOfError(router), false);
      assert.equal(other.sends(), true);
      assert.equal(other.hearsOfError(router), true);
    });

    test('nobody outside begins a flow to a tunnel address, or claims one', () => {
      const { source, destination } = flowFrom(2, family);
      for (const protocol of [TCP, UDP, family === 4 ? 1 : 58]) {
        const ports = { protocol, sourcePort: nextPort++, destinationPort: 443 };
        const tunnels = family === 4 ? ['10.64.0.1', '10.64.0.77'] : ['fd5a::1', 'fd5a::77'];
        for (const to of [source, ...tunnels])
          assert.deepEqual(rig.exchange('outside', packetOf({ source: destination, destination: to, ...ports })), []);
        // To other devices, to this machine, to others outside.
        for (const to of [...tunnels, OWN[family], destination])
          assert.deepEqual(rig.exchange('outside', packetOf({ source, destination: to, ...ports })), []);
      }
      // And from the tunnel comes nothing but tunnel addresses.
      const flow = { source: destination, destination: OWN[family], protocol: UDP, sourcePort: 1, destinationPort: 1 };
      assert.deepEqual(rig.exchange('tunnel', packetOf(flow)), []);
    });

    test('what a device may not begin is refused at once: TCP by a reset, the rest by ICMP', () => {
      const denied = family === 4 ? '192.168.9.9' : 'fd00:9::9';
      const reset = rig.exchange('tunnel', packetOf({ ...flowFrom(3, family), destination: denied }, { flags: SYN }));
      assert.deepEqual(
        reset.map(({ from, protocol, upper }) => [from, protocol, (upper[13] & RST) !== 0]),
        [['tunnel', TCP, true]],
      );
      const told = rig.exchange('tunnel', packetOf({ ...flowFrom(3, family, UDP), destination: denied }));
      const icmp = family === 4 ? [1, 3, 13] : [58, 1, 1];
      assert.deepEqual(
        told.map(({ from, protocol, upper }) => [from, protocol, upper[0], upper[1]]),
        [['tunnel', ...icmp]],
      );
    });

    test('this machine from a tunnel: ping, its open ports, its own flows, and else what the policy says', () => {
      const [gateway, source, echo, reply] =
        family === 4 ? ['10.64.0.1', '10.64.0.3', 1, 0] : ['fd5a::1', 'fd5a::3', 58, 129];
      const answers = (destination: string, protocol: number, destinationPort = 0): Seen[] =>
        rig.exchange(
          'tunnel',
          packetOf(
            { source, destination, protocol, sourcePort: nextPort++, destinationPort },
            protocol === TCP ? { flags: SYN } : {},
          ),
        );
      assert.equal(answers(gateway, echo)[0]?.upper[0], reply);
      assert.notEqual(answers(OWN[family], echo)[0]?.upper[0], reply);
      // Nobody listens there, so "port unreachable" tells that a packet arrived, and "prohibited" that it didn't.
      const [prohibited, unreachablePort] = family === 4 ? [13, 3] : [1, 4];
      assert.equal(answers(gateway, UDP, 53)[0]?.upper[1], prohibited);
      assert.equal(answers(OWN[family], UDP, 53)[0]?.upper[1], prohibited);
      rig.apply({
        ...base,
        groups: [{ id: 'office', grants: [network(family === 4 ? `${OWN[4]}/32` : `${OWN[6]}/128`)] }],
      });
      assert.equal(answers(OWN[family], UDP, 53)[0]?.upper[1], unreachablePort);
      assert.equal(answers(gateway, UDP, 53)[0]?.upper[1], prohibited);
      rig.apply({ ...base, groups: [{ id: 'office', grants: [internet] }] });
      assert.equal(answers(OWN[family], UDP, 53)[0]?.upper[1], prohibited);
    });

    test('what leaves carries the address of the group, of the gateway, or of the interface', () => {
      const own = { 4: (n: number) => `198.51.100.${String(n)}`, 6: (n: number) => `2001:db8::${String(n)}` }[family];
      // The kernel chooses one of the interface's.
      const { translated } = new Established(flowFrom(3, family));
      assert.ok([7, 8, 9].some((n) => sameAddress(translated, own(n))));
      const gateway = { ...base.gateway, egress: { ipv4: '198.51.100.9', ipv6: '2001:db8::9' } };
      const withEgress: FirewallPlan = {
        ...base,
        gateway,
        devices: [
          { ...device(2, 'web', 'office'), egress: { ipv4: '198.51.100.8', ipv6: '2001:db8::8' } },
          device(3, 'office'),
        ],
      };
      const change = rig.apply(withEgress);
      assert.ok(['10.64.0.2', 'fd5a::2'].every((address) => change.cut.includes(address)));
      assert.ok(sameAddress(new Established(flowFrom(3, family)).translated, own(9)));
      assert.ok(sameAddress(new Established(flowFrom(2, family)).translated, own(8)));
      // An address of the other family only leaves this one at the gateway's.
      const half = family === 4 ? { ipv6: '2001:db8::8' } : { ipv4: '198.51.100.8' };
      rig.apply({ ...withEgress, devices: [{ ...device(2, 'web', 'office'), egress: half }] });
      assert.ok(sameAddress(new Established(flowFrom(2, family)).translated, own(9)));
    });

    test('nobody leaves by the address of a group but its devices, even where the kernel would choose it', () => {
      const own = { 4: (n: number) => `198.51.100.${String(n)}`, 6: (n: number) => `2001:db8::${String(n)}` }[family];
      const leaves = (index: number): Seen[] =>
        rig
          .exchange('tunnel', packetOf(flowFrom(index, family, UDP)))
          .filter(({ from, protocol }) => from === 'outside' && protocol === UDP);
      const before = flowFrom(3, family, UDP);
      const [{ source: chosen }] = rig.exchange('tunnel', packetOf(before));
      const reserved = [7, 8, 9].map(own).find((address) => sameAddress(address, chosen))!;
      const egress = family === 4 ? { ipv4: reserved } : { ipv6: reserved };
      const devices = [{ ...device(2, 'web', 'office'), egress }, device(3, 'office')];
      rig.apply({ ...base, devices });
      assert.ok(leaves(2).length === 1 && sameAddress(leaves(2)[0].source, reserved));
      assert.deepEqual(leaves(3), []);
      // Nor does a flow that began to do so earlier go on.
      assert.deepEqual(rig.exchange('tunnel', packetOf(before)), []);
      // A default of the gateway's own mends it.
      const other = [7, 8, 9].map(own).find((address) => address !== reserved)!;
      rig.apply({
        ...base,
        devices,
        gateway: { ...base.gateway, egress: family === 4 ? { ipv4: other } : { ipv6: other } },
      });
      assert.ok(sameAddress(leaves(3)[0].source, other));
      // One that the kernel doesn't choose disturbs nobody.
      rig.apply({
        ...base,
        devices: [{ ...devices[0], egress: family === 4 ? { ipv4: other } : { ipv6: other } }, devices[1]],
      });
      assert.ok(sameAddress(leaves(3)[0].source, reserved));
      assert.ok(sameAddress(leaves(2)[0].source, other));
    });

    test('a limit drops what is above the rate, in each direction, and nobody else notices', () => {
      const limited: FirewallPlan = {
        ...base,
        devices: [{ ...device(2, 'web', 'office'), bitsPerSecond: 80_000 }, device(3, 'office')],
      };
      rig.apply(limited);
      const payload = new Uint8Array(1200);
      const passed = (index: number): number => {
        const flow = flowFrom(index, family, UDP);
        let count = 0;
        for (let i = 0; i < 400; i++) count += rig.exchange('tunnel', packetOf(flow, { payload })).length > 0 ? 1 : 0;
        return count;
      };
      // 256 KiB of burst are some 213 packets; the kernel begins with a second's rate more, and the rate comes on top.
      const start = performance.now();
      const count = passed(2);
      const most = 240 + (performance.now() - start) / 100;
      assert.ok(count >= 200 && count < Math.min(400, most), `passed: ${String(count)} of at most ${most.toFixed(0)}`);
      assert.equal(passed(3), 400);
      // Another rate begins afresh, and none has no bounds.
      rig.apply({ ...limited, devices: [{ ...limited.devices[0], bitsPerSecond: 1_600_000 }, device(3, 'office')] });
      assert.ok(passed(2) >= 200);
      rig.apply(base);
      assert.equal(passed(2), 400);
    });
  });
}

test('IPv4 and IPv6 of a device have one limit together, for each direction its own', () => {
  const payload = new Uint8Array(1200);
  const limited = (bitsPerSecond: number): FirewallDevice => ({ ...device(2, 'web', 'office'), bitsPerSecond });
  const passing = (flow: Flow, by: 'tunnel' | 'outside'): number => {
    let count = 0;
    for (let i = 0; i < 400; i++) count += rig.exchange(by, packetOf(flow, { payload })).length > 0 ? 1 : 0;
    return count;
  };
  rig.apply({ ...base, devices: [limited(8000), { ...device(3, 'office'), bitsPerSecond: 8000 }] });
  const flows = ([4, 6] as const).map((family) => {
    const flow = flowFrom(2, family, UDP);
    // The packet that begins it tells where answers go; large enough for the bucket to be empty later.
    const [first] = rig.exchange('tunnel', packetOf(flow, { payload }));
    return { flow, back: reversed({ ...flow, source: first.source, sourcePort: first.sourcePort }) };
  });
  assert.ok(passing(flows[1].flow, 'tunnel') > 180);
  assert.ok(passing(flows[0].flow, 'tunnel') < 20, 'IPv4 finds empty what IPv6 has used');
  assert.ok(passing(flows[0].back, 'outside') > 180, 'answers have a bucket of their own');
  assert.ok(passing(flows[1].back, 'outside') < 20);
  // Another device with the same rate has its own.
  assert.ok(passing(flowFrom(3, 6, UDP), 'tunnel') > 180);
});

test('from device to device: as the one who begins it may, and the other way only in answer', () => {
  const flow = {
    source: '10.64.0.4',
    destination: '10.64.0.3',
    protocol: TCP,
    sourcePort: nextPort++,
    destinationPort: 80,
  };
  const established = new Established(flow, 'tunnel');
  assert.equal(established.receives(), true);
  assert.ok(sameAddress(established.translated, '10.64.0.4'), 'no translation between tunnels');
  // Not another port, and not begun by the other.
  const refused = (other: Flow): boolean =>
    rig.exchange('tunnel', packetOf(other, { flags: SYN })).some(({ upper }) => (upper[13] & RST) !== 0);
  assert.ok(refused({ ...flow, destinationPort: 81 }));
  assert.ok(refused({ ...reversed(flow), sourcePort: 9, destinationPort: 80 }));
  // The receiver's groups don't matter, the sender's do.
  rig.apply({ ...base, devices: [device(2), device(3), device(4, 'peers')] });
  assert.equal(established.receives(), true);
  rig.apply({ ...base, devices: [device(2), device(3), device(4)] });
  assert.equal(established.receives(), false);
  assert.equal(established.sends(), false);
});

test('the largest segment that TCP asks for fits the tunnel, in both directions', () => {
  const mss = (seen: Seen[]): number => (seen[0].upper[22] << 8) | seen[0].upper[23];
  const options = new Uint8Array([2, 4, 1460 >> 8, 1460 & 255]);
  const flow = flowFrom(3, 4);
  const sent = rig.exchange('tunnel', packetOf(flow, { flags: SYN, sequence: 1000, options }));
  assert.equal(mss(sent), 1340);
  const back = reversed({ ...flow, source: sent[0].source, sourcePort: sent[0].sourcePort });
  const answer = { flags: SYN | ACK, sequence: 5000, acknowledgment: 1001, options };
  assert.equal(mss(rig.exchange('outside', packetOf(back, answer))), 1340);
});

test('fragments pass as the whole packet may', () => {
  const fragments = (flow: Flow): Uint8Array[] => {
    const whole = packetOf(flow, { payload: new Uint8Array(1000), dontFragment: false, identification: nextPort++ });
    return [
      [20, 524, 0x2000],
      [524, whole.length, 504 / 8],
    ].map(([from, to, offset]) => {
      const part = new Uint8Array(20 + to - from);
      part.set(whole.subarray(0, 20));
      part.set(whole.subarray(from, to), 20);
      const view = new DataView(part.buffer);
      view.setUint16(2, part.length);
      view.setUint16(6, offset);
      view.setUint16(10, 0);
      let sum = 0;
      for (let i = 0; i < 20; i += 2) sum += view.getUint16(i);
      view.setUint16(10, ~((sum & 0xffff) + (sum >>> 16)) & 0xffff);
      return part;
    });
  };
  const exchange = (flow: Flow): Seen[] => {
    rig.drain();
    for (const part of fragments(flow)) rig.send('tunnel', part);
    return rig.drain();
  };
  const office: GroupPlan = {
    id: 'office',
    grants: [network('10.1.0.0/16', { protocol: 'udp', ports: [{ from: 443, to: 443 }] })],
  };
  rig.apply({ ...base, groups: [office] });
  const allowed = exchange(flowFrom(3, 4, UDP));
  assert.equal(
    allowed.filter(({ from }) => from === 'outside').reduce((bytes, { upper }) => bytes + upper.length, 0),
    1008,
  );
  const denied = exchange({ ...flowFrom(3, 4, UDP), destinationPort: 444 });
  assert.deepEqual(
    denied.filter(({ from }) => from === 'outside'),
    [],
  );
});
