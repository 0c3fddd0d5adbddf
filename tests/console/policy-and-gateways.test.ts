/** Policy and gateways, as an administrator changes them in the console: previews, policy tests, undo. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { routes } from '@sallyport/api';
import { until } from '@sallyport/netlab';
import type { Page } from 'playwright-core';
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

test('a new rule shows who gains by it before it is saved, and can be undone', async () => {
  await page.goto(`${world.url}/policy/rules/new`);
  await page.getByLabel('Name of the rule').fill('contractors-wiki');
  await page.getByLabel('contractors').check();
  await page.getByLabel('wiki').check();
  await page.getByText('Gains (1)').waitFor();
  await page.getByRole('button', { name: 'Create the rule' }).click();
  await page.getByText('The rule contractors-wiki was created').waitFor();
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByRole('link', { name: 'contractors-wiki' }).waitFor({ state: 'detached' });
});

test('a change that breaks a policy test shows why and can not be saved; removing the rule shows who loses', async () => {
  await page.goto(`${world.url}/policy`);
  await page.getByRole('link', { name: 'engineers-systems' }).click();
  await page.getByLabel('database').uncheck();
  await page.getByText('A policy test would fail').waitFor();
  assert.ok(await page.getByRole('button', { name: 'Save the rule' }).isDisabled());
  await page.getByRole('button', { name: 'Remove' }).click();
  await page.getByRole('dialog').getByText('Loses').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Cancel' }).click();
});

test('a rule is disabled and enabled again by undo', async () => {
  await page.goto(`${world.url}/policy`);
  await page.getByRole('button', { name: 'Disable the rule finance-office' }).click();
  await page.getByText('no longer counts').waitFor();
  await page.getByRole('button', { name: 'Undo' }).click();
  await page.getByRole('button', { name: 'Disable the rule finance-office' }).waitFor();
});

test('a resource with services shows whom its change concerns', async () => {
  await page.goto(`${world.url}/policy?tab=resources`);
  await page.getByRole('link', { name: 'office', exact: true }).click();
  await page.getByLabel('Addresses and networks').fill('10.30.0.0/17 fd30::/48');
  await page.getByText('Changes (').waitFor();
  await page.getByRole('button', { name: 'Add a service' }).click();
  await page.getByLabel('Ports').fill('443, 8000-8100');
  await page.getByRole('button', { name: 'Save the resource' }).click();
  await page.getByText('The resource office was changed').waitFor();
  await page.getByText('TCP 443, 8000-8100').waitFor();
});

test('a policy test says whether it passes before it is saved', async () => {
  await page.goto(`${world.url}/policy?tab=tests&add=test`);
  await page.getByLabel('Name of the test').fill('carol too');
  await page.getByLabel('User', { exact: true }).fill('carol');
  await page.getByLabel('Destination').fill('10.20.0.5');
  await page.getByLabel('Port', { exact: true }).fill('5432');
  await page.getByText('The test passes').waitFor();
  await page.getByLabel('Must').selectOption('deny');
  await page.getByText('would fail, so').waitFor();
  await page.getByLabel('Must').selectOption('allow');
  await page.getByText('The test passes').waitFor();
  await page.getByRole('button', { name: 'Save the test' }).click();
  await page.getByText('The test carol too was saved').waitFor();
  await page.getByRole('button', { name: 'Remove the test carol too' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Remove', exact: true }).click();
  await page.getByText('The test carol too was removed').waitFor();
});

test('an imported policy shows what it does and is taken back by undo', async () => {
  await page.goto(`${world.url}/policy`);
  await page.getByRole('button', { name: 'Import' }).click();
  const policy = await world.api.call(routes.getPolicy);
  const changed = { ...policy, rules: policy.rules.filter((r) => r.name !== 'finance-office') };
  await page
    .getByLabel('File')
    .setInputFiles({ name: 'policy.json', mimeType: 'application/json', buffer: Buffer.from(JSON.stringify(changed)) });
  await page.getByText('Loses (').waitFor();
  await page.getByRole('button', { name: 'Replace the policy' }).click();
  await page.getByText('The policy was replaced').waitFor();
  await page.getByRole('button', { name: 'Undo' }).last().click();
  await until('the policy as it was', async () => {
    const { rules } = await world.api.call(routes.getPolicy);
    return rules.some(({ name }) => name === 'finance-office');
  });
});

test('the command for a gateway, with a new region; its token is revoked', async () => {
  await page.goto(`${world.url}/gateways?add=gateway`);
  await page.getByLabel('Region of the gateway').selectOption('+');
  await page.getByLabel('Name of the region', { exact: true }).fill('Zürich West');
  await page.getByRole('button', { name: 'Make the command' }).click();
  await page.getByText('Waiting for the gateway').waitFor();
  await page.getByRole('button', { name: 'Close' }).last().click();
  await page.goto(`${world.url}/gateways?view=tokens`);
  await page.getByRole('button', { name: 'Revoke' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await page.getByText('The join token was revoked').waitFor();
  await page.goto(`${world.url}/gateways?view=regions`);
  await page.getByText('zurich-west').waitFor();
});

test('a gateway is drained, edited and given an egress address', async () => {
  await page.goto(`${world.url}/gateways/oslo-1`);
  await page.getByRole('button', { name: 'Drain' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Drain' }).click();
  await page.getByText('oslo-1 is draining').waitFor();
  // The toast comes first: whoever edits before the page has what is new is told that somebody changed it meanwhile.
  await page.getByText('It is draining:').waitFor();
  await page.getByRole('button', { name: 'Edit' }).first().click();
  await page.getByLabel('City').fill('Bergen');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('oslo-1 was changed').waitFor();
  await page.getByText('Bergen').first().waitFor();
  await page.getByRole('button', { name: 'Edit' }).last().click();
  await page.getByRole('button', { name: 'Add an entry' }).click();
  await page.getByLabel('IPv4').selectOption({ index: 1 });
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('The addresses were changed').waitFor();
  const { draining, city, egress } = await world.api.call(routes.getGateway, { params: { gatewayId: 'oslo-1' } });
  assert.deepEqual(
    { draining, city, addresses: egress.map(({ ipv4, ipv6 }) => [ipv4, ipv6]) },
    { draining: true, city: 'Bergen', addresses: [['198.51.100.12', null]] },
  );
});
