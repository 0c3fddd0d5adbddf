import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { GatewayMetrics } from '@sallyport/agent';
import { Registry } from 'prom-client';
import { ControlMetrics } from '../../packages/control/src/metrics/control-metrics.ts';
import { ControlNode, eventually, openWorld, SimulatedGateway } from './hub-world.ts';

test('the control plane counts gateways, devices, traffic and how soon changes arrive', async () => {
  const world = openWorld();
  const registry = new Registry();
  const metrics = new ControlMetrics(registry);
  const node = await ControlNode.start(world, { onApplied: metrics.applied });
  metrics.watch(node.services, node.hub);
  const gateway = SimulatedGateway.create();
  try {
    await node.addPeople(3);
    await gateway.connect(node.url, await node.joinToken());
    await eventually('the first state', () => gateway.state !== undefined);
    await node.setUser('u0', { disabled: 1 });
    await node.hub.whenApplied();
    gateway.report([{ id: 'd1', sentBytes: 5, receivedBytes: 7, lastHandshakeAt: Date.now() }], { number: 1 });
    await eventually('the report', async () => {
      await node.hub.flush();
      return gateway.stored.length > 0;
    });
    const text = await registry.metrics();
    for (const line of [
      'sallyport_gateways{health="healthy"} 1',
      'sallyport_gateways_connected 1',
      'sallyport_devices{standing="active"} 2',
      'sallyport_devices{standing="userDisabled"} 1',
      'sallyport_devices_connected 1',
      'sallyport_traffic_today_bytes{direction="sent"} 5',
      'sallyport_traffic_today_bytes{direction="received"} 7',
      'sallyport_users 3',
    ])
      assert.ok(text.includes(`${line}\n`), line);
    assert.match(text, /sallyport_change_applied_seconds_count [2-9]/);
    assert.match(text, /sallyport_changes_total\{kind="user"\} \d/);
    assert.match(text, /process_resident_memory_bytes \d/);
    assert.ok(!/"(d1|u1)"|10\.64\./.test(text));
  } finally {
    await gateway.disconnect();
    await node.close();
    world.remove();
  }
});

test('the dashboard asks only for metrics that there are', async () => {
  const file = new URL('../../deploy/grafana-dashboard.json', import.meta.url);
  const dashboard = JSON.parse(readFileSync(file, 'utf8')) as { panels: { targets?: { expr: string }[] }[] };
  const world = openWorld();
  const node = await ControlNode.start(world);
  const registry = new Registry();
  try {
    new ControlMetrics(registry).watch(node.services, node.hub);
    const gateway = new GatewayMetrics({
      tunnels: [],
      stateVersion: () => 0,
      linkUp: () => true,
      admittedDevices: () => 0,
      problems: () => 0,
      now: Date.now,
    });
    const known = new Set<string>(['sallyport_http_request_duration_seconds']);
    for (const { name } of [...registry.getMetricsAsArray(), ...gateway.registry.getMetricsAsArray()]) known.add(name);
    const asked = dashboard.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    assert.ok(asked.length > 10);
    for (const expression of asked) {
      for (const [name] of expression.matchAll(/(?:sallyport|process)_\w+/g))
        assert.ok(known.has(name) || known.has(name.replace(/_(bucket|count|sum)$/, '')), name);
    }
  } finally {
    await node.close();
    world.remove();
  }
});
