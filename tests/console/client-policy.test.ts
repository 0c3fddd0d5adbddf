/** What administrators set for Sallyport's own client: networks behind devices, requirements of groups, names. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { routes } from '@sallyport/api';
import { until } from '@sallyport/netlab';
import type { Page } from 'playwright-core';
import { t } from '../../apps/console/src/strings/index.ts';
import { closeBrowser, consoleWorld, type ConsoleWorld } from './console-world.ts';

let world: ConsoleWorld;
let page: Page;
before(async () => {
  world = await consoleWorld();
  ({ page } = await world.openAs('ada'));
});
after(async () => {
  await page.context().close();
  await closeBrowser();
  await world[Symbol.asyncDispose]();
});

const networks = t.people.devices.networks;

test('networks that wait are found from the overview, approved in part, and become a resource', async () => {
  await page.goto('/overview');
  await page.getByText('A device offers a network that waits for approval.').waitFor();
  await page.locator('a[href="/all-devices?networks=waiting"]').click();
  await page.getByText(networks.waiting(1, false)).waitFor();
  await until('its row alone', async () => (await page.locator('tbody tr').count()) === 1);
  await page.getByRole('button', { name: networks.open(networks.waits(2), 'workstation', 'bob') }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('fd40::/48').uncheck();
  await dialog.getByLabel(networks.createResource).check();
  await dialog.getByRole('button', { name: t.common.save }).click();
  await page.getByText(networks.saved('workstation')).waitFor();
  const { items } = await world.api.call(routes.listDevices, { query: { user: 'bob', networks: 'any' } });
  assert.deepEqual(items[0]?.networks, [
    { prefix: '10.40.0.0/16', approved: true },
    { prefix: 'fd40::/48', approved: false },
  ]);
  const resource = await world.api.call(routes.getResource, { params: { resourceId: 'workstation' } });
  assert.deepEqual(resource.prefixes, ['10.40.0.0/16']);

  // The name of the resource is taken now: the dialog says so and stays; without, all is approved.
  await page.getByRole('button', { name: networks.open(networks.waits(1), 'workstation', 'bob') }).click();
  await dialog.getByLabel(networks.createResource).check();
  await dialog.getByRole('button', { name: t.common.save }).click();
  await dialog.getByText('another resource').waitFor();
  await dialog.getByLabel(networks.createResource).uncheck();
  await dialog.getByRole('button', { name: t.common.save }).click();
  await page.getByText(networks.waiting(1, false)).waitFor({ state: 'detached' });
});

test('an auditor sees the networks of a device and can not approve them', async () => {
  await using window = await world.openAs('carol');
  await window.page.goto('/all-devices?networks=any');
  await window.page.getByRole('button', { name: networks.open(networks.behind(2), 'workstation', 'bob') }).click();
  const dialog = window.page.getByRole('dialog');
  await dialog.getByText(networks.readOnly).waitFor();
  assert.equal(await dialog.getByText('10.40.0.0/16').count(), 1);
  assert.equal(await dialog.locator('input').count(), 0);
  assert.deepEqual(window.complaints, []);
});

test('a group requires the kill switch, a region and a gateway, and shows that it does', async () => {
  const text = t.people.group;
  await page.goto('/groups/finance');
  await page.getByText(text.anywhere).waitFor();
  await page.getByRole('button', { name: text.edit, exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel(text.killSwitch).check();
  await dialog.getByLabel(text.region).selectOption({ label: 'Oslo' });
  await dialog.getByLabel(text.gateway).selectOption({ label: 'singapore-1' });
  await dialog.getByRole('button', { name: t.common.save }).click();
  await page.getByText('Oslo or singapore-1').waitFor();
  const group = await world.api.call(routes.getGroup, { params: { groupId: 'finance' } });
  assert.deepEqual(
    [group.requireKillSwitch, group.requireRegionId, group.requireGatewayId],
    [true, 'oslo', 'singapore-1'],
  );
  await page.goto('/groups');
  await page.getByText(t.people.groups.place).waitFor();
  // To open and save the form changes nothing; to choose any place takes the requirement back.
  await page.goto('/groups/finance');
  await page.getByRole('button', { name: text.edit, exact: true }).click();
  await dialog.getByLabel(text.description).fill('Books');
  await dialog.getByRole('button', { name: t.common.save }).click();
  await page.getByText('Books', { exact: true }).waitFor();
  await page.getByText('Oslo or singapore-1').waitFor();
  await page.getByRole('button', { name: text.edit, exact: true }).click();
  await dialog.getByLabel(text.region).selectOption('');
  await dialog.getByLabel(text.gateway).selectOption('');
  await dialog.getByRole('button', { name: t.common.save }).click();
  await page.getByText(text.anywhere).waitFor();
});

test('what gateways do with names is set as lines, and comes back canonical', async () => {
  const text = t.service.settings;
  await page.goto('/settings');
  await page.getByLabel(text.upstreams).fill('9.9.9.9\ntls://9.9.9.9#dns.quad9.net');
  await page.getByLabel(text.hosts).fill('Wiki.corp.example 10.20.0.5, FD20::5\n\nprinter.corp.example 10.20.0.9');
  await page.getByLabel(text.domains).fill('corp.example 10.20.0.53');
  await page.getByLabel(text.blocked).fill('ads.example');
  await page.getByLabel(text.blockLists).fill('http://lists.example/hosts');
  await page.getByRole('button', { name: t.common.save }).click();
  await page.getByText('dns/blockLists/0').waitFor();
  await page.getByLabel(text.blockLists).fill('https://lists.example/hosts');
  await page.getByRole('button', { name: t.common.save }).click();
  await page.getByText(text.saved).waitFor();
  const { dns } = await world.api.call(routes.getSettings, {});
  assert.deepEqual(dns, {
    servers: [],
    searchDomains: [],
    upstreams: ['udp://9.9.9.9:53', 'tls://9.9.9.9:853#dns.quad9.net'],
    blockLists: ['https://lists.example/hosts'],
    blocked: ['ads.example'],
    hosts: [
      { name: 'wiki.corp.example', addresses: ['10.20.0.5', 'fd20::5'] },
      { name: 'printer.corp.example', addresses: ['10.20.0.9'] },
    ],
    domains: [{ domain: 'corp.example', servers: ['udp://10.20.0.53:53'] }],
  });
  for (const [label, lines] of [
    [text.hosts, 'wiki.corp.example 10.20.0.5 fd20::5\nprinter.corp.example 10.20.0.9'],
    [text.domains, 'corp.example udp://10.20.0.53:53'],
  ] as const)
    await until(lines, async () => (await page.getByLabel(label).inputValue()) === lines);
});

test('a gateway shows the other ways to it', async () => {
  await page.goto('/gateways/frankfurt-1');
  await page
    .getByText('AmneziaWG, UDP port 51821; TLS, 198.51.100.10:443; OpenVPN, UDP port 1194 and TCP port 443')
    .waitFor();
  await page.goto('/gateways/oslo-1');
  await page.getByText('OpenVPN, UDP port 1194', { exact: true }).waitFor();
  await page.goto('/gateways/singapore-1');
  await page.getByText(t.network.transportsNone).waitFor();
});
