/** What RFC 7643 and RFC 7644 say that a service provider must do, over HTTP, on both databases. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { onBothDatabases } from './databases.ts';
import { asScim, ENTERPRISE_URN, GROUP_URN, scimWorld, USER_URN, type ScimAnswer } from './scim-world.ts';

const ERROR_URN = 'urn:ietf:params:scim:api:messages:2.0:Error';
const LIST_URN = 'urn:ietf:params:scim:api:messages:2.0:ListResponse';

function assertFault(answer: ScimAnswer, status: number, scimType?: string): void {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers['content-type'] ?? '', /^application\/scim\+json/);
  assert.deepEqual(answer.body.schemas, [ERROR_URN]);
  assert.equal(answer.body.status, String(status));
  assert.equal(answer.body.scimType, scimType, answer.text);
  assert.ok(answer.body.detail.length > 10);
}

onBothDatabases('SCIM', ({ create }) => {
  test('asks for the token of a client everywhere, and for nothing else', async () => {
    await using world = await scimWorld(await create());
    const { token } = await world.addClient('Company');
    for (const path of [
      '/ServiceProviderConfig',
      '/ResourceTypes',
      '/Schemas',
      '/Users',
      '/Users/x',
      '/Groups',
      '/Me',
    ]) {
      for (const wrong of [undefined, world.root, `${token}x`, 'spm_', token.toUpperCase()]) {
        const answer = asScim(await world.send('GET', `/scim/v2${path}`, { token: wrong }));
        assertFault(answer, 401);
        assert.match(answer.headers['www-authenticate'] ?? '', /^Bearer/);
      }
      const cookie = await world.send('GET', `/scim/v2${path}`, { headers: { cookie: `session=${token}` } });
      assert.equal(cookie.status, 401);
    }
    // Nobody without one fills the log.
    assert.deepEqual(
      world.logged.filter((line) => line.includes('a request failed')),
      [],
    );
    // Nor is it good for anything else.
    assert.equal((await world.call(token, 'GET', '/users')).status, 401);
    assert.equal((await world.send('GET', '/metrics', { token })).status, 401);
  });

  test('describes itself', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const config = await client.send('GET', '/ServiceProviderConfig');
    assert.equal(config.headers['content-type'], 'application/scim+json');
    assert.deepEqual(config.body['patch'], { supported: true });
    assert.deepEqual(config.body['filter'], { supported: true, maxResults: 200 });
    assert.deepEqual(config.body['etag'], { supported: true });
    for (const off of ['bulk', 'changePassword', 'sort']) {
      assert.equal((config.body[off] as { supported: boolean }).supported, false);
    }
    const types = await client.send('GET', '/ResourceTypes');
    assert.deepEqual(types.body.schemas, [LIST_URN]);
    assert.deepEqual(
      types.body.Resources.map(({ id, endpoint }) => [id, endpoint]),
      [
        ['User', '/Users'],
        ['Group', '/Groups'],
      ],
    );
    const schemas = await client.send('GET', '/Schemas');
    assert.deepEqual(
      schemas.body.Resources.map(({ id }) => id),
      [USER_URN, GROUP_URN, ENTERPRISE_URN],
    );
    for (const { id, meta } of [...types.body.Resources, ...schemas.body.Resources]) {
      const path = meta.location.replace('https://vpn.example.org/scim/v2', '');
      assert.deepEqual((await client.send('GET', path)).body.id, id);
    }
    const user = schemas.body.Resources[0]['attributes'] as { name: string; required: boolean; uniqueness: string }[];
    assert.deepEqual(
      user.filter(({ required }) => required).map(({ name, uniqueness }) => [name, uniqueness]),
      [['userName', 'server']],
    );
    assert.ok(!user.some(({ name }) => name === 'password'));
    assertFault(await client.send('GET', '/Schemas/urn:none'), 404);
    assertFault(await client.send('GET', '/ResourceTypes?filter=id%20pr'), 403);
    assertFault(await client.send('GET', '/Me'), 501);
  });

  test('creates, gives, replaces and removes a user', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const posted = await client.send('POST', '/Users', {
      schemas: [USER_URN, ENTERPRISE_URN],
      externalId: 'e-1',
      USERNAME: 'Zoë.Müller@example.com',
      password: 'kept nowhere at all',
      name: { givenName: 'Zoë', familyName: 'Müller' },
      emails: [
        { value: 'second@example.com', type: 'home' },
        { value: 'zoe@example.com', type: 'work', primary: true },
      ],
      title: 'Engineer',
      locale: null,
      phoneNumbers: [],
      unheardOf: { any: 'thing' },
      groups: [{ value: 'everyone' }],
      id: 'mine',
      meta: { version: 'x' },
      [ENTERPRISE_URN]: { department: 'Tunnels', manager: { value: 'm-1' }, other: 1 },
    });
    assert.equal(posted.status, 201, posted.text);
    const { id, meta } = posted.body;
    assert.equal(posted.headers['location'], `https://vpn.example.org/scim/v2/Users/${id}`);
    assert.equal(posted.headers['etag'], 'W/"1"');
    assert.deepEqual(meta, {
      resourceType: 'User',
      created: '2027-01-15T12:00:00.000Z',
      lastModified: '2027-01-15T12:00:00.000Z',
      location: posted.headers['location'],
      version: 'W/"1"',
    });
    const expected = {
      schemas: [USER_URN, ENTERPRISE_URN],
      id,
      externalId: 'e-1',
      userName: 'Zoë.Müller@example.com',
      name: { familyName: 'Müller', givenName: 'Zoë' },
      title: 'Engineer',
      active: true,
      emails: [
        { value: 'second@example.com', type: 'home' },
        { value: 'zoe@example.com', type: 'work', primary: true },
      ],
      [ENTERPRISE_URN]: { department: 'Tunnels', manager: { value: 'm-1' } },
      meta,
    };
    assert.deepEqual(posted.body, expected);
    assert.deepEqual((await client.send('GET', `/Users/${id}`)).body, expected);
    const here = await world.call(world.root, 'GET', `/users/${id}`);
    assert.deepEqual(
      [here.body['name'], here.body['displayName'], here.body['email'], here.body['role'], here.body['managedBy']],
      ['zoe.muller', 'Zoë Müller', 'zoe@example.com', 'user', 'Company'],
    );
    const all = await world.services.store.db.selectFrom('scim_user').selectAll().execute();
    assert.ok(!JSON.stringify(all).includes('kept nowhere'));

    world.now += 5000;
    const put = await client.send('PUT', `/Users/${id}`, { schemas: [USER_URN], userName: 'zoe', displayName: 'Zoë' });
    assert.equal(put.status, 200, put.text);
    // What it leaves out is gone, but nobody is let in or cut off by silence.
    assert.deepEqual(put.body, {
      schemas: [USER_URN],
      id,
      userName: 'zoe',
      displayName: 'Zoë',
      active: true,
      meta: { ...meta, lastModified: '2027-01-15T12:00:05.000Z', version: 'W/"2"' },
    });
    const after = await world.call(world.root, 'GET', `/users/${id}`);
    assert.deepEqual([after.body['name'], after.body['email']], ['zoe', null]);

    const removed = await client.send('DELETE', `/Users/${id}`);
    assert.deepEqual([removed.status, removed.text], [204, '']);
    for (const method of ['GET', 'DELETE']) assertFault(await client.send(method, `/Users/${id}`), 404);
    assertFault(await client.send('PUT', `/Users/${id}`, { schemas: [USER_URN], userName: 'zoe' }), 404);
    assert.equal((await world.call(world.root, 'GET', `/users/${id}`)).status, 404);
  });

  test('refuses a second user or group of one name, in capital letters or small ones', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const { id } = await client.addUser('Ada@example.com');
    const other = await client.addUser('grace@example.com');
    await client.addGroup('Admins');
    const group = await client.addGroup('Users');
    assertFault(
      await client.send('POST', '/Users', { schemas: [USER_URN], userName: 'ADA@example.com' }),
      409,
      'uniqueness',
    );
    assertFault(
      await client.send('POST', '/Groups', { schemas: [GROUP_URN], displayName: 'ADMINS' }),
      409,
      'uniqueness',
    );
    const taken = { op: 'replace', path: 'userName', value: 'ada@EXAMPLE.com' };
    assertFault(await client.patch(`/Users/${other.id}`, taken), 409, 'uniqueness');
    assertFault(
      await client.patch(`/Groups/${group.id}`, { op: 'replace', path: 'displayName', value: 'admins' }),
      409,
      'uniqueness',
    );
    // A name of one's own may change its letters.
    assert.equal((await client.patch(`/Users/${id}`, taken)).body.userName, 'ada@EXAMPLE.com');
  });

  test('filters', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const work = (value: string) => [{ value, type: 'work', primary: true }];
    const ada = await client.addUser('Ada', { externalId: 'X1', title: 'Lead', emails: work('ada@example.com') });
    world.now += 60_000;
    await client.addUser('bob', { active: false, name: { familyName: 'Ada', formatted: 'Bob "B" \\ Ada' } });
    await client.addUser('carl', {
      externalId: 'x1',
      emails: [
        { value: 'carl@home.example', type: 'home' },
        { value: 'carl@example.com', type: 'work' },
      ],
      [ENTERPRISE_URN]: { department: 'Sales', manager: { value: ada.id } },
    });
    const cases: [string, string[]][] = [
      ['userName eq "ada"', ['Ada']],
      ['USERNAME Eq "ADA"', ['Ada']],
      [`${USER_URN}:userName eq "ada"`, ['Ada']],
      ['userName eq "ad"', []],
      ['externalId eq "x1"', ['carl']],
      ['externalId ne "x1"', ['Ada', 'bob']],
      [`id eq "${ada.id}"`, ['Ada']],
      ['userName co "A"', ['Ada', 'carl']],
      ['userName sw "B"', ['bob']],
      ['userName ew "l"', ['carl']],
      ['userName gt "ada"', ['bob', 'carl']],
      ['userName ge "ada" and userName lt "BZ"', ['Ada', 'bob']],
      ['userName le "ada"', ['Ada']],
      ['title pr', ['Ada']],
      ['not (title pr)', ['bob', 'carl']],
      ['title eq null', ['bob', 'carl']],
      ['active eq false', ['bob']],
      ['active eq True', ['Ada', 'carl']],
      ['active ne "false"', ['Ada', 'carl']],
      ['name.familyName eq "ADA"', ['bob']],
      ['name.formatted eq "bob \\"b\\" \\\\ ada"', ['bob']],
      ['emails eq "carl@example.com"', ['carl']],
      ['emails.value co "home"', ['carl']],
      ['emails.type eq "work"', ['Ada', 'carl']],
      ['emails[type eq "home" and value co "@example.com"]', []],
      ['emails[type eq "work" and value co "@example.com"]', ['Ada', 'carl']],
      ['emails[type eq "work"].value eq "carl@example.com"', ['carl']],
      ['emails[not (type eq "work")]', ['carl']],
      [`${ENTERPRISE_URN}:department eq "sales"`, ['carl']],
      [`${ENTERPRISE_URN}:manager.value eq "${ada.id}"`, ['carl']],
      ['meta.created gt "2027-01-15T12:00:30Z"', ['bob', 'carl']],
      ['meta.lastModified le "2027-01-15T13:00:30+01:00"', ['Ada']],
      ['meta.resourceType eq "User" and (title pr or active eq false)', ['Ada', 'bob']],
      // and binds closer than or, not closer than and.
      ['title pr or userName eq "bob" and active eq true', ['Ada']],
      ['(title pr or userName eq "bob") and active eq false', ['bob']],
      ['not (title pr) and active eq true', ['carl']],
      ['userName eq "bob" and userName eq "ada"', []],
    ];
    for (const [filter, expected] of cases) {
      assert.deepEqual((await client.find('Users', filter)).sort(), expected, filter);
    }
    const group = await client.addGroup('Sales', [ada.id]);
    await client.addGroup('Empty');
    assert.deepEqual(await client.find('Groups', 'displayName eq "sales"'), ['Sales']);
    assert.deepEqual(await client.find('Groups', `members[value eq "${ada.id}"]`), ['Sales']);
    assert.deepEqual(await client.find('Groups', `members eq "${ada.id}"`), ['Sales']);
    assert.deepEqual(await client.find('Groups', 'not (members pr)'), ['Empty']);
    assert.deepEqual(await client.find('Users', `groups.value eq "${group.id}"`), ['Ada']);
    const without = await client.send(
      'GET',
      `/Groups?excludedAttributes=members&filter=${encodeURIComponent(`members eq "${ada.id}"`)}`,
    );
    assert.deepEqual(
      without.body.Resources.map(({ members }) => members),
      [undefined],
    );

    const faulty = [
      'userName',
      'userName eq',
      'userName eq ada',
      'userName is "ada"',
      'eq "ada"',
      '(userName pr',
      'userName pr)',
      'emails[type eq "work"',
      'emails[type eq "work"] pr',
      'userName pr and',
      'and userName pr',
      'not userName pr',
      'userName pr userName pr',
      'nothing pr',
      'emails.nothing pr',
      'userName[value pr]',
      'name eq "ada"',
      'active gt true',
      'active co "t"',
      'userName eq 1',
      'userName eq "\\u0000"',
      'userName eq "\\x"',
      'meta.created gt "yesterday"',
      'meta.created co "2027-01-15T12:00:00Z"',
      'userName gt null',
      '"ada" eq userName',
      'userName eq "ada" ; drop',
      '__proto__ pr',
      'constructor.name pr',
    ];
    for (const filter of faulty) {
      assertFault(await client.send('GET', `/Users?filter=${encodeURIComponent(filter)}`), 400, 'invalidFilter');
    }
  });

  test('gives pages', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const ids = new Set<string>();
    for (let n = 0; n < 5; n++) ids.add((await client.addUser(`u${n}`)).id);
    const all = [...ids].sort();
    const cases: [string, number, string[]][] = [
      ['', 1, all],
      ['?startIndex=1&count=2', 1, all.slice(0, 2)],
      ['?startIndex=3&count=2', 3, all.slice(2, 4)],
      ['?startIndex=5&count=200', 5, all.slice(4)],
      ['?startIndex=6', 6, []],
      ['?startIndex=0&count=1', 1, all.slice(0, 1)],
      ['?startIndex=-7&count=1', 1, all.slice(0, 1)],
      ['?count=0', 1, []],
      ['?count=-1', 1, []],
      ['?count=1000000', 1, all],
      ['?sortBy=userName&sortOrder=descending', 1, all],
    ];
    for (const filter of ['', 'userName sw "u"']) {
      for (const [query, startIndex, expected] of cases) {
        const parameter = filter === '' ? '' : `${query === '' ? '?' : '&'}filter=${encodeURIComponent(filter)}`;
        const { body } = await client.send('GET', `/Users${query}${parameter}`);
        assert.deepEqual(body.schemas, [LIST_URN]);
        assert.deepEqual(
          [body.totalResults, body.startIndex, body.itemsPerPage, body.Resources.map(({ id }) => id)],
          [5, startIndex, expected.length, expected],
          query + parameter,
        );
      }
    }
    for (const wrong of ['count=x', 'startIndex=1.5', 'count=99999999999']) {
      assertFault(await client.send('GET', `/Users?${wrong}`), 400, 'invalidValue');
    }
  });

  test('gives the attributes that a request asks for', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const { id } = await client.addUser('ada', {
      title: 'Lead',
      name: { givenName: 'Ada', familyName: 'L' },
      emails: [{ value: 'ada@example.com', type: 'work' }],
      [ENTERPRISE_URN]: { department: 'A', division: 'B' },
    });
    const keys = async (query: string): Promise<string[]> =>
      Object.keys((await client.send('GET', `/Users/${id}?${query}`)).body);
    assert.deepEqual(await keys('attributes=userName,TITLE'), ['schemas', 'id', 'userName', 'title']);
    assert.deepEqual(await keys('attributes=nothing'), ['schemas', 'id']);
    assert.deepEqual(await keys('excludedAttributes=id,schemas,emails,name,meta,active,title,nothing'), [
      'schemas',
      'id',
      'userName',
      ENTERPRISE_URN,
    ]);
    const { body } = await client.send(
      'GET',
      `/Users?attributes=name.givenName,emails.value,${ENTERPRISE_URN}:division,meta.version`,
    );
    assert.deepEqual(body.Resources, [
      {
        schemas: [USER_URN, ENTERPRISE_URN],
        id,
        name: { givenName: 'Ada' },
        emails: [{ value: 'ada@example.com' }],
        [ENTERPRISE_URN]: { division: 'B' },
        meta: { version: 'W/"1"' },
      },
    ]);
    const without = await client.send('GET', `/Users/${id}?excludedAttributes=name.givenName`);
    assert.deepEqual(without.body.name, { familyName: 'L' });
    const posted = await client.send('POST', '/Users?attributes=userName', { schemas: [USER_URN], userName: 'bob' });
    assert.deepEqual(Object.keys(posted.body), ['schemas', 'id', 'userName']);
  });

  test('knows versions', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const { id } = await client.addUser('ada');
    const group = await client.addGroup('G');
    const title = (value: string) => ({ schemas: [USER_URN], userName: 'ada', title: value });
    const put = (value: string, etag: string) => client.send('PUT', `/Users/${id}`, title(value), { 'if-match': etag });
    assert.equal((await put('a', 'W/"1"')).headers['etag'], 'W/"2"');
    assertFault(await put('b', 'W/"1"'), 412);
    assert.equal((await put('b', '"2"')).status, 200);
    assert.equal((await put('c', '*')).headers['etag'], 'W/"4"');
    assertFault(await put('d', 'nonsense'), 400, 'invalidSyntax');
    // What changes nothing makes no version, and no entry in the audit log.
    const entries = (await world.audit()).length;
    assert.equal((await put('c', 'W/"4"')).headers['etag'], 'W/"4"');
    assert.equal((await world.audit()).length, entries);
    const fresh = await client.send('GET', `/Users/${id}`, undefined, { 'if-none-match': 'W/"3", W/"4"' });
    assert.deepEqual([fresh.status, fresh.text], [304, '']);
    assert.equal((await client.send('GET', `/Users/${id}`, undefined, { 'if-none-match': 'W/"3"' })).status, 200);
    assertFault(await client.send('DELETE', `/Users/${id}`, undefined, { 'if-match': 'W/"1"' }), 412);
    assertFault(await client.send('DELETE', `/Groups/${group.id}`, undefined, { 'if-match': 'W/"9"' }), 412);
    const patched = await client.patch(`/Groups/${group.id}`, { op: 'add', path: 'members', value: [{ value: id }] });
    assert.deepEqual([patched.status, patched.headers['etag']], [204, 'W/"2"']);
    // The membership is part of the user.
    assert.equal((await client.send('GET', `/Users/${id}`)).headers['etag'], 'W/"5"');
    assert.equal((await client.send('DELETE', `/Users/${id}`, undefined, { 'if-match': 'W/"5"' })).status, 204);
  });

  test('names what is wrong in the form of SCIM', async () => {
    await using world = await scimWorld(await create());
    const client = await world.addClient('Company');
    const { id } = await client.addUser('ada');
    const user = (more: object) => ({ schemas: [USER_URN], userName: 'x', ...more });
    const cases: [unknown, string][] = [
      ['{', 'invalidSyntax'],
      ['[]', 'invalidSyntax'],
      ['"text"', 'invalidSyntax'],
      ['null', 'invalidSyntax'],
      ['{"__proto__": {"active": true}, "userName": "x"}', 'invalidSyntax'],
      [`${'['.repeat(40)}${']'.repeat(40)}`, 'invalidSyntax'],
      [{ userName: 'x' }, 'invalidSyntax'],
      [{ schemas: [GROUP_URN], userName: 'x' }, 'invalidSyntax'],
      [{ schemas: USER_URN, userName: 'x' }, 'invalidSyntax'],
      [user({ USERNAME: 'y' }), 'invalidSyntax'],
      [user({ userName: undefined }), 'invalidValue'],
      [user({ userName: '' }), 'invalidValue'],
      [user({ userName: ' ' }), 'invalidValue'],
      [user({ userName: null }), 'invalidValue'],
      [user({ userName: 7 }), 'invalidValue'],
      [user({ userName: ['x'] }), 'invalidValue'],
      [user({ userName: 'x'.repeat(257) }), 'invalidValue'],
      [user({ userName: 'a\nb' }), 'invalidValue'],
      [user({ userName: 'a\u0000' }), 'invalidValue'],
      [user({ displayName: 'a\u202eb' }), 'invalidValue'],
      [user({ displayName: '\ud800' }), 'invalidValue'],
      [user({ displayName: world.root }), 'invalidValue'],
      [user({ active: 'maybe' }), 'invalidValue'],
      [user({ active: 1 }), 'invalidValue'],
      [user({ name: 'Ada' }), 'invalidValue'],
      [user({ name: [] }), 'invalidValue'],
      [user({ name: { givenName: {} } }), 'invalidValue'],
      [user({ emails: { value: 'a@example.com' } }), 'invalidValue'],
      [user({ emails: [{ value: 'no address' }] }), 'invalidValue'],
      [user({ emails: [7] }), 'invalidValue'],
      [user({ emails: [{ value: 'a@example.com', primary: true }, { value: 'b@example.com', primary: true }] }), 'invalidValue'], // prettier-ignore
      [user({ roles: new Array(101).fill({ value: 'r' }) }), 'invalidValue'],
      [user({ roles: Array.from({ length: 20 }, (_, n) => ({ value: String(n).repeat(1000) })) }), 'invalidValue'],
      [user({ x509Certificates: [{ value: '<script>' }] }), 'invalidValue'],
    ];
    for (const [body, scimType] of cases) {
      assertFault(await client.send('POST', '/Users', body), 400, scimType);
      assertFault(await client.send('PUT', `/Users/${id}`, body), 400, scimType);
    }
    // What is named like a member of every object is an attribute that nobody knows.
    const named = await client.send(
      'POST',
      '/Users',
      user({ constructor: { prototype: { active: false } }, toString: 1 }),
    );
    assert.equal(named.status, 201);
    assert.ok(!Object.hasOwn(named.body, 'constructor') && named.body.active);
    const markup = `"><img src=x onerror=alert(1)>&lt;'\``;
    const marked = await client.addUser(markup, { displayName: markup });
    assert.deepEqual([marked.userName, marked['displayName']], [markup, markup]);
    assert.match(
      ((await world.call(world.root, 'GET', `/users/${marked.id}`)).body as { name: string }).name,
      /^[a-z0-9.-]+$/,
    );

    assert.equal((await client.send('POST', '/Users', user({}), { 'content-type': 'application/json' })).status, 409);
    assertFault(await client.send('POST', '/Users', user({}), { 'content-type': 'text/plain' }), 415);
    assertFault(await client.send('POST', '/Users', user({}), { 'content-encoding': 'gzip' }), 415);
    for (const strange of ['%00', 'a%2Fb', 'x'.repeat(65), '%F0%9F%98%80']) {
      assertFault(await client.send('GET', `/Users/${strange}`), 404);
      assertFault(await client.send('DELETE', `/Groups/${strange}`), 404);
    }
    const bracketed = `${'('.repeat(17)}userName pr${')'.repeat(17)}`;
    for (const filter of [bracketed, `userName eq "${'x'.repeat(1000)}"`, 'not ('.repeat(180)]) {
      assertFault(await client.send('GET', `/Users?filter=${encodeURIComponent(filter)}`), 400, 'invalidFilter');
    }
    const long = Array.from({ length: 60 }, () => 'userName pr').join(' or ');
    assert.equal((await client.find('Users', long)).length, 3);
    assert.equal((await client.send('POST', '/Users/.search', {})).status, 405);
  });
});
