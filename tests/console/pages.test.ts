/** Every page, in both themes, wide and on a phone: no fault, nothing sideways, nothing that keeps people out. */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { settled } from './browsing.ts';
import { closeBrowser, consoleWorld, type ConsoleWorld } from './console-world.ts';
import { assertSound } from './sound.ts';

let world: ConsoleWorld;
before(async () => {
  world = await consoleWorld();
});
after(async () => {
  await closeBrowser();
  await world[Symbol.asyncDispose]();
});

const own = ['/', '/devices', '/devices?add=1', '/regions', '/account', '/tunnel-login'];
const administration = [
  '/overview',
  '/users',
  '/users?search=nobody-is-called-so',
  '/users/bob',
  '/groups',
  '/groups?add=1',
  '/groups/contractors',
  '/invitations',
  '/all-devices',
  '/all-devices?standing=awaitingApproval',
  '/all-devices?networks=waiting',
  '/gateways',
  '/gateways?view=map',
  '/gateways/frankfurt-1',
  '/policy',
  '/policy?tab=resources',
  '/policy?tab=tests',
  '/policy/rules/new',
  '/policy/resources/new',
  '/reach',
  '/usage',
  '/audit',
  '/audit?action=user',
  '/settings',
  '/sign-in',
  '/tokens',
  '/no-such-page',
];

for (const [who, paths] of [
  ['ada', [...own, ...administration]],
  ['bob', own],
  [
    'carol',
    ['/overview', '/users', '/users/bob', '/all-devices', '/gateways/frankfurt-1', '/policy', '/settings', '/tokens'],
  ],
] as const) {
  test(`the pages of ${who}`, async () => {
    await using window = await world.openAs(who);
    const { page, complaints } = window;
    for (const path of paths) {
      await page.goto(path);
      await settled(page);
      // An auditor's pages are those of the administrator with less in them.
      await assertSound(page, complaints, path, { search: who !== 'carol' });
    }
  });
}

test('the pages of nobody', async () => {
  await using window = await world.open();
  const { page, complaints } = window;
  for (const path of ['/login', '/setup', '/invitation', '/login?problem=notAllowed']) {
    await page.goto(path);
    await settled(page);
    // A browser writes refused requests into its console: nobody is logged in.
    await assertSound(page, [], path, { faults: path.includes('problem=') ? 1 : 0 });
    assert.deepEqual(
      complaints.filter((text) => !text.includes('401')),
      [],
      path,
    );
  }
});

test('what only administrators see is not asked for by others', async () => {
  const { context, page } = await world.openAs('bob');
  const asked: string[] = [];
  page.on('response', (response) => {
    if (response.status() === 403) asked.push(response.url());
  });
  for (const path of own) {
    await page.goto(world.url + path);
    await settled(page);
  }
  assert.deepEqual(asked, []);
  assert.equal(await page.getByRole('link', { name: 'Audit' }).count(), 0);
  await context.close();
});
