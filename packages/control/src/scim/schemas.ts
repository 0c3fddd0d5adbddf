/** The schemas that are served (RFC 7643, 4 and 8.7): User, the enterprise extension, Group. */
import { complex, plural, simple, text, type Attribute, type ResourceSchema } from './attributes.ts';

export const ENTERPRISE_URN = 'urn:ietf:params:scim:schemas:extension:enterprise:2.0:User';

/** What every resource has (RFC 7643, 3.1). */
const common: readonly Attribute[] = [
  simple('schemas', 'reference', 'The schemas of this resource', {
    multiValued: true,
    required: true,
    readOnly: true,
    always: true,
    referenceTypes: ['uri'],
  }),
  text('id', 'The identifier that this service gave', {
    caseExact: true,
    readOnly: true,
    always: true,
    unique: true,
  }),
  text('externalId', "The client's own identifier", { caseExact: true, maxLength: 256 }),
  complex(
    'meta',
    'About the resource',
    [
      text('resourceType', 'User or Group', { caseExact: true, readOnly: true }),
      simple('created', 'dateTime', 'When it was added', { readOnly: true }),
      simple('lastModified', 'dateTime', 'When it was changed last', { readOnly: true }),
      simple('location', 'reference', 'Its address', { readOnly: true, referenceTypes: ['uri'] }),
      text('version', 'Its version, as in the ETag', { caseExact: true, readOnly: true }),
    ],
    { readOnly: true },
  ),
];

const enterprise = complex(ENTERPRISE_URN, 'Enterprise User', [
  text('employeeNumber', 'The number that the organisation gave'),
  text('costCenter', 'The cost center'),
  text('organization', 'The organisation'),
  text('division', 'The division'),
  text('department', 'The department'),
  complex('manager', 'Who the user reports to', [
    text('value', "The manager's id", { caseExact: true }),
    simple('$ref', 'reference', "The manager's address", { referenceTypes: ['User'] }),
    text('displayName', "The manager's name"),
  ]),
]);

export const USER_SCHEMA: ResourceSchema = {
  name: 'User',
  urn: 'urn:ietf:params:scim:schemas:core:2.0:User',
  description: 'A person who has devices',
  attributes: [
    ...common,
    text('userName', 'How the organisation calls the user; the short name here is made from it', {
      required: true,
      unique: true,
      maxLength: 256,
    }),
    complex('name', 'The name in its parts', [
      text('formatted', 'The whole name'),
      text('familyName', 'The family name'),
      text('givenName', 'The given name'),
      text('middleName', 'The middle name'),
      text('honorificPrefix', 'What stands before the name'),
      text('honorificSuffix', 'What stands behind the name'),
    ]),
    text('displayName', 'The name to show', { maxLength: 256 }),
    text('nickName', 'What the user is called'),
    simple('profileUrl', 'reference', "The address of the user's profile", { referenceTypes: ['external'] }),
    text('title', "The user's title"),
    text('userType', 'Contractor, Employee, Intern'),
    text('preferredLanguage', 'The preferred language'),
    text('locale', 'The locale'),
    text('timezone', 'The time zone: Europe/Berlin'),
    simple('active', 'boolean', 'Whether the user may connect and log in; false cuts devices off at once'),
    plural('emails', 'Mail addresses; the primary one, else the first, is kept here', text('value', 'A mail address')),
    plural('phoneNumbers', 'Telephone numbers', text('value', 'A telephone number')),
    plural('ims', 'Addresses of instant messaging', text('value', 'An address')),
    plural('photos', 'Pictures', simple('value', 'reference', 'Where it is', { referenceTypes: ['external'] })),
    complex(
      'addresses',
      'Postal addresses',
      [
        text('formatted', 'The whole address', { lines: true }),
        text('streetAddress', 'Street and number', { lines: true }),
        text('locality', 'The city'),
        text('region', 'The state or region'),
        text('postalCode', 'The postal code'),
        text('country', 'The country (ISO 3166-1)'),
        text('type', 'What kind it is: work, home'),
        simple('primary', 'boolean', 'The one that counts first'),
      ],
      { multiValued: true },
    ),
    complex(
      'groups',
      'The groups of this client that the user is in; changed at the groups',
      [
        text('value', "The group's id", { caseExact: true, readOnly: true }),
        simple('$ref', 'reference', "The group's address", { readOnly: true, referenceTypes: ['Group'] }),
        text('display', "The group's name", { readOnly: true }),
        text('type', 'How the user is in it: direct', { readOnly: true }),
      ],
      { multiValued: true, readOnly: true },
    ),
    plural('entitlements', 'Kept and given back, without effect', text('value', 'An entitlement')),
    plural('roles', 'Kept and given back, without effect: roles are given here by hand', text('value', 'A role')),
    plural(
      'x509Certificates',
      'Kept and given back, without effect',
      simple('value', 'binary', 'A certificate in base64', { maxLength: 8192 }),
    ),
    enterprise,
  ],
};

export const GROUP_SCHEMA: ResourceSchema = {
  name: 'Group',
  urn: 'urn:ietf:params:scim:schemas:core:2.0:Group',
  description: 'Users that rules name together',
  attributes: [
    ...common,
    text('displayName', 'How the organisation calls the group; the short name here is made from it', {
      required: true,
      unique: true,
      maxLength: 256,
    }),
    complex(
      'members',
      'The users in it; groups in groups are not taken',
      [
        text('value', "The user's id", { caseExact: true, maxLength: 64 }),
        simple('$ref', 'reference', "The user's address", { readOnly: true, referenceTypes: ['User'] }),
        text('display', "The user's name", { readOnly: true }),
        text('type', 'User', { readOnly: true }),
      ],
      // What fits into a request, and then some.
      { multiValued: true, maxValues: 50_000 },
    ),
  ],
};
