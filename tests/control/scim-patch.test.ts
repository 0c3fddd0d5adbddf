/** PATCH as the RFC has it, and as Entra ID and Okta send it by their documents. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onBothDatabases } from './databases.ts';
import { ENTERPRISE_URN, scimWorld, USER_URN, type ScimAnswer } from './scim-world.ts';

function assertFault(answer: ScimAnswer, scimType: string): void {
  assert.deepEqual([answer.status, answer.body.scimType], [400, scimType], answer.text);
}

onBothDatabases('PATCH by SCIM', ({ create }) => {
  test('changes attributes as RFC 7644 says', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const home = { value: 'ada@home.example', type: 'home' };
    const work = { value: 'ada@example.com', type: 'work', primary: true };
    const start = {
      title: 'Lead',
      name: { givenName: 'Ada', familyName: 'L' },
      emails: [home, work],
      [ENTERPRISE_URN]: { department: 'A', manager: { value: 'm-1' } },
    };
    const of = (emails: unknown): object => ({ ...start, emails });
    const without = (name: keyof typeof start): object => ({ ...start, [name]: undefined });
    const third = { value: 'a3@example.com' };
    const filter = 'emails[type eq "home"]';
    const cases: [object[], object][] = [
      [[{ op: 'add', path: 'nickName', value: 'A' }], { ...start, nickName: 'A' }],
      [[{ op: 'add', path: 'title', value: 'B' }], { ...start, title: 'B' }],
      [[{ op: 'add', value: { title: 'B', emails: [third] } }], { ...of([home, work, third]), title: 'B' }],
      [[{ op: 'add', path: 'emails', value: [third] }], of([home, work, third])],
      [[{ op: 'add', path: 'emails', value: third }], of([home, work, third])],
      // What is there already stays once.
      [[{ op: 'add', path: 'emails', value: [{ type: 'home', value: 'ada@home.example' }] }], of([home, work])],
      [[{ op: 'add', path: 'emails', value: [{ ...third, primary: true }] }], of([home, { ...work, primary: false }, { ...third, primary: true }])], // prettier-ignore
      [
        [{ op: 'add', path: 'name', value: { middleName: 'M' } }],
        { ...start, name: { ...start.name, middleName: 'M' } },
      ],
      [[{ op: 'add', path: `${filter}.display`, value: 'Home' }], of([{ ...home, display: 'Home' }, work])],
      [[{ op: 'add', path: 'emails[type eq "other"].value', value: 'o@example.com' }], of([home, work, { type: 'other', value: 'o@example.com' }])], // prettier-ignore
      [[{ op: 'replace', path: 'title', value: 'B' }], { ...start, title: 'B' }],
      [[{ op: 'replace', path: 'title', value: null }], without('title')],
      [[{ op: 'replace', path: 'emails', value: [third] }], of([third])],
      [[{ op: 'replace', path: 'emails', value: [] }], without('emails')],
      [
        [{ op: 'replace', path: 'name', value: { givenName: 'B' } }],
        { ...start, name: { givenName: 'B', familyName: 'L' } },
      ],
      [
        [{ op: 'replace', path: 'name.givenName', value: 'B' }],
        { ...start, name: { givenName: 'B', familyName: 'L' } },
      ],
      [[{ op: 'replace', path: filter, value: third }], of([third, work])],
      [
        [{ op: 'replace', path: `${filter}.value`, value: 'b@example.com' }],
        of([{ ...home, value: 'b@example.com' }, work]),
      ],
      [[{ op: 'replace', path: `${filter}.primary`, value: true }], of([{ ...home, primary: true }, { ...work, primary: false }])], // prettier-ignore
      [
        [{ op: 'replace', path: 'emails.type', value: 'x' }],
        of([
          { ...home, type: 'x' },
          { ...work, type: 'x' },
        ]),
      ],
      [[{ op: 'replace', path: `${ENTERPRISE_URN}:department`, value: 'B' }], { ...start, [ENTERPRISE_URN]: { department: 'B', manager: { value: 'm-1' } } }], // prettier-ignore
      [[{ op: 'replace', path: `${USER_URN}:title`, value: 'B' }], { ...start, title: 'B' }],
      [[{ op: 'remove', path: 'title' }], without('title')],
      [[{ op: 'remove', path: 'locale' }], start],
      [[{ op: 'remove', path: 'emails' }], without('emails')],
      [[{ op: 'remove', path: filter }], of([work])],
      [[{ op: 'remove', path: `${filter}.type` }], of([{ value: home.value }, work])],
      [[{ op: 'remove', path: 'emails[type pr and not (primary eq true)]' }], of([work])],
      [[{ op: 'remove', path: 'emails[type eq "none"]' }], start],
      [[{ op: 'remove', path: ENTERPRISE_URN }], without(ENTERPRISE_URN)],
      [[{ op: 'remove', path: `${ENTERPRISE_URN}:manager` }], { ...start, [ENTERPRISE_URN]: { department: 'A' } }],
      [
        [
          { op: 'remove', path: 'title' },
          { op: 'add', path: 'title', value: 'B' },
        ],
        { ...start, title: 'B' },
      ],
    ];
    for (const [index, [operations, expected]] of cases.entries()) {
      const { id } = await client.addUser(`u${index}`, start);
      const patched = await client.patch(`/Users/${id}`, ...operations);
      assert.equal(patched.status, 200, JSON.stringify(operations) + patched.text);
      const { schemas: _schemas, id: _id, meta: _meta, userName: _name, active, ...rest } = patched.body;
      assert.equal(active, true);
      assert.deepEqual(rest, JSON.parse(JSON.stringify(expected)), JSON.stringify(operations));
      assert.deepEqual((await client.send('GET', `/Users/${id}`)).body, patched.body);
    }
  });

  test('refuses what it must, and then changes nothing', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const start = { title: 'Lead', emails: [{ value: 'ada@example.com', type: 'work' }] };
    const { id } = await client.addUser('ada', start);
    const before = (await client.send('GET', `/Users/${id}`)).text;
    const cases: [object, string][] = [
      [{ op: 'remove' }, 'noTarget'],
      [{ op: 'remove', path: 'userName' }, 'mutability'],
      [{ op: 'replace', path: 'userName', value: ' ' }, 'mutability'],
      [{ op: 'replace', path: 'userName', value: 'a\nb' }, 'invalidValue'],
      [{ op: 'replace', path: 'id', value: 'x' }, 'mutability'],
      [{ op: 'add', path: 'groups', value: [{ value: 'x' }] }, 'mutability'],
      [{ op: 'replace', path: 'meta.version', value: 'x' }, 'mutability'],
      [{ op: 'replace', path: 'emails[type eq "home"].value', value: 'x@example.com' }, 'noTarget'],
      [{ op: 'add', path: 'emails[type ne "work"].value', value: 'x@example.com' }, 'noTarget'],
      [{ op: 'add', path: 'nothing', value: 'x' }, 'invalidPath'],
      [{ op: 'add', path: 'password', value: 'x' }, 'invalidPath'],
      [{ op: 'add', path: '__proto__.active', value: true }, 'invalidPath'],
      [{ op: 'add', path: 'constructor', value: {} }, 'invalidPath'],
      [{ op: 'add', path: 'emails[', value: 'x' }, 'invalidPath'],
      [{ op: 'add', path: 'emails[type eq "work"]value', value: 'x' }, 'invalidPath'],
      [{ op: 'add', path: 'emails[type eq "work"].nothing', value: 'x' }, 'invalidPath'],
      [{ op: 'add', path: 'title[value eq "x"]', value: 'x' }, 'invalidPath'],
      [{ op: 'add', path: 'emails[nothing eq "work"]', value: {} }, 'invalidFilter'],
      [{ op: 'add', path: 7, value: 'x' }, 'invalidPath'],
      [{ op: 'add', path: 'title', value: { a: 1 } }, 'invalidValue'],
      [{ op: 'add', path: 'title' }, 'invalidValue'],
      [{ op: 'add', path: 'emails', value: 7 }, 'invalidValue'],
      [{ op: 'add', value: 'text' }, 'invalidValue'],
      [{ op: 'replace', path: 'emails.primary', value: 'perhaps' }, 'invalidValue'],
      [{ op: 'move', path: 'title' }, 'invalidSyntax'],
      [{ path: 'title', value: 'x' }, 'invalidSyntax'],
    ];
    for (const [operation, scimType] of cases) {
      // What comes before it in the request is undone.
      assertFault(
        await client.patch(`/Users/${id}`, { op: 'replace', path: 'title', value: 'B' }, operation),
        scimType,
      );
    }
    assertFault(await client.patch(`/Users/${id}`), 'invalidSyntax');
    assertFault(
      await client.send('PATCH', `/Users/${id}`, { Operations: [{ op: 'remove', path: 'title' }] }),
      'invalidSyntax',
    );
    const many = new Array<object>(1001).fill({ op: 'add', path: 'title', value: 'x' });
    assertFault(await client.patch(`/Users/${id}`, ...many), 'invalidValue');
    assert.equal((await client.send('GET', `/Users/${id}`)).text, before);
  });

  test('takes what Entra ID sends', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Entra');
    const { id } = await client.addUser('ada@contoso.example', {
      externalId: '0a21f0f2',
      active: true,
      displayName: 'Ada',
      emails: [{ primary: true, type: 'work', value: 'ada@contoso.example' }],
      meta: { resourceType: 'User' },
      name: { formatted: 'Ada L', familyName: 'L', givenName: 'Ada' },
      roles: [],
    });
    const path = `/Users/${id}`;
    assert.deepEqual(await client.find('Users', 'userName eq "ADA@contoso.example"'), ['ada@contoso.example']);
    assert.equal((await client.patch(path, { op: 'Replace', path: 'active', value: 'False' })).body.active, false);
    assert.equal((await client.patch(path, { op: 'Replace', path: 'active', value: 'True' })).body.active, true);
    const several = await client.patch(
      path,
      { op: 'Replace', path: 'emails[type eq "work"].value', value: 'ada.new@contoso.example' },
      { op: 'Add', path: 'emails[type eq "other"].value', value: 'ada@other.example' },
      { op: 'Replace', path: 'name.familyName', value: 'Lovelace' },
      { op: 'Add', path: `${ENTERPRISE_URN}:manager`, value: 'm-7' },
      { op: 'Add', path: 'phoneNumbers[type eq "mobile" and primary eq true].value', value: '+1 555' },
    );
    assert.deepEqual(several.body.emails, [
      { primary: true, type: 'work', value: 'ada.new@contoso.example' },
      { type: 'other', value: 'ada@other.example' },
    ]);
    assert.deepEqual(several.body[ENTERPRISE_URN], { manager: { value: 'm-7' } });
    assert.deepEqual(several.body['phoneNumbers'], [{ type: 'mobile', primary: true, value: '+1 555' }]);
    const dotted = await client.patch(path, {
      op: 'Replace',
      value: {
        displayName: 'Ada Lovelace',
        'name.givenName': 'Augusta',
        'emails[type eq "other"].value': 'b@other.example',
        [`${ENTERPRISE_URN}:department`]: 'Engines',
        [ENTERPRISE_URN]: { costCenter: '7' },
        active: 'False',
        unheardOf: 1,
        id: 'x',
      },
    });
    assert.deepEqual(
      [dotted.body['displayName'], dotted.body.name['givenName'], dotted.body.name['familyName'], dotted.body.active],
      ['Ada Lovelace', 'Augusta', 'Lovelace', false],
    );
    assert.equal(dotted.body.emails[1]['value'], 'b@other.example');
    assert.deepEqual(dotted.body[ENTERPRISE_URN], {
      costCenter: '7',
      department: 'Engines',
      manager: { value: 'm-7' },
    });

    const other = await client.addUser('bob@contoso.example');
    const group = await client.addGroup('VPN Users');
    const members = async (): Promise<string[]> =>
      ((await client.send('GET', `/Groups/${group.id}`)).body.members ?? []).map(({ value }) => value);
    const added = await client.patch(`/Groups/${group.id}`, {
      op: 'Add',
      path: 'members',
      value: [{ value: id }, { value: other.id }],
    });
    assert.deepEqual([added.status, added.text], [204, '']);
    assert.deepEqual(await members(), [id, other.id].sort());
    await client.patch(`/Groups/${group.id}`, { op: 'Remove', path: 'members', value: [{ value: id }] });
    assert.deepEqual(await members(), [other.id]);
    await client.patch(`/Groups/${group.id}`, { op: 'Remove', path: `members[value eq "${other.id}"]` });
    assert.deepEqual(await members(), []);
    const renamed = await client.patch(`/Groups/${group.id}?attributes=displayName`, {
      op: 'Replace',
      path: 'displayName',
      value: 'VPN People',
    });
    assert.equal(renamed.body['displayName'], 'VPN People');
  });

  test('takes what Okta sends', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Okta');
    const full = {
      schemas: [USER_URN],
      userName: 'isaac@okta.example',
      name: { givenName: 'Isaac', familyName: 'Brock' },
      emails: [{ primary: true, value: 'isaac@okta.example', type: 'work' }],
      displayName: 'Isaac Brock',
      locale: 'en-US',
      externalId: '00ujl29u0le5T6Aj10h7',
      groups: [],
      password: '1mz050nq',
      active: true,
    };
    const { body } = await client.send('POST', '/Users', full);
    assert.deepEqual(await client.find('Users', 'userName eq "isaac@okta.example"'), [full.userName]);
    const put = await client.send('PUT', `/Users/${body.id}`, { ...full, id: body.id, meta: body.meta, title: 'T' });
    assert.deepEqual([put.status, put.body['title']], [200, 'T']);
    const off = await client.patch(`/Users/${body.id}`, { op: 'replace', value: { active: false } });
    assert.deepEqual([off.status, off.body.active], [200, false]);
    const group = await client.addGroup('Engineering');
    const named = await client.patch(`/Groups/${group.id}`, {
      op: 'replace',
      value: { id: group.id, displayName: 'Eng' },
    });
    assert.equal(named.status, 204);
    await client.patch(
      `/Groups/${group.id}`,
      { op: 'remove', path: `members[value eq "nobody"]` },
      { op: 'add', path: 'members', value: [{ value: body.id, display: 'isaac@okta.example' }] },
    );
    const { body: after } = await client.send('GET', `/Groups/${group.id}`);
    assert.deepEqual([after['displayName'], after.members.map(({ value }) => value)], ['Eng', [body.id]]);
    await client.patch(`/Groups/${group.id}`, { op: 'replace', path: 'members', value: [] });
    assert.equal((await client.send('GET', `/Groups/${group.id}`)).body.members, undefined);
  });

  test('changes a thousand members by one request, and by a thousand operations', async (t) => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const ids = await world.addUsers(client, 1000);
    const { id } = await client.addGroup('All');
    const count = async (): Promise<number> => (await client.send('GET', `/Groups/${id}`)).body.members?.length ?? 0;
    const timed = async (what: string, ...operations: object[]): Promise<void> => {
      const start = performance.now();
      const answer = await client.patch(`/Groups/${id}`, ...operations);
      assert.equal(answer.status, 204, answer.text);
      const took = performance.now() - start;
      t.diagnostic(`${what}: ${took.toFixed(0)} ms`);
      assert.ok(took < 60_000, what);
    };
    await timed('1000 at once', { op: 'add', path: 'members', value: ids.map((value) => ({ value })) });
    assert.equal(await count(), 1000);
    assert.equal(world.services.directory.model.users.get(ids[999])?.groups.has(id), true);
    await timed('1000 out', ...ids.map((value) => ({ op: 'remove', path: `members[value eq "${value}"]` })));
    assert.equal(await count(), 0);
    await timed('1000 in', ...ids.map((value) => ({ op: 'add', path: 'members', value: [{ value }] })));
    assert.equal(await count(), 1000);
    const entries = await world.audit();
    const last = entries.at(-1)!;
    assert.equal(last.action, 'group.update');
    const { after } = JSON.parse(last.all) as { after: string };
    assert.equal((JSON.parse(after) as { membersAdded: string[] }).membersAdded.length, 1000);
    assert.deepEqual(await client.find('Users', 'userName eq "user999@example.com"'), ['user999@example.com']);
  });
});
