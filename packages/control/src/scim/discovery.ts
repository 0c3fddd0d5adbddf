/** What the service says about itself (RFC 7643, 5 to 8; RFC 7644, 4). */
import type { Attribute, ResourceSchema } from './attributes.ts';
import { ENTERPRISE_URN, GROUP_SCHEMA, USER_SCHEMA } from './schemas.ts';

export const SCIM_PATH = '/scim/v2';
/** Resources of one answer. */
export const MAX_RESULTS = 200;

const core = 'urn:ietf:params:scim:schemas:core:2.0';

export function serviceProviderConfig(base: string) {
  return {
    schemas: [`${core}:ServiceProviderConfig`],
    patch: { supported: true },
    bulk: { supported: false, maxOperations: 0, maxPayloadSize: 0 },
    filter: { supported: true, maxResults: MAX_RESULTS },
    changePassword: { supported: false },
    sort: { supported: false },
    etag: { supported: true },
    authenticationSchemes: [
      {
        type: 'oauthbearertoken',
        name: 'Bearer token',
        description: 'The token that was shown when the SCIM client was added',
        specUri: 'https://www.rfc-editor.org/rfc/rfc6750',
        primary: true,
      },
    ],
    meta: { resourceType: 'ServiceProviderConfig', location: `${base}/ServiceProviderConfig` },
  };
}

export function resourceTypes(base: string) {
  return [USER_SCHEMA, GROUP_SCHEMA].map(({ name, urn, description }) => ({
    schemas: [`${core}:ResourceType`],
    id: name,
    name,
    endpoint: `/${name}s`,
    description,
    schema: urn,
    schemaExtensions: name === 'User' ? [{ schema: ENTERPRISE_URN, required: false }] : [],
    meta: { resourceType: 'ResourceType', location: `${base}/ResourceTypes/${name}` },
  }));
}

export function schemas(base: string) {
  const extensions = USER_SCHEMA.attributes.filter(isExtension);
  return [
    ...[USER_SCHEMA, GROUP_SCHEMA].map((schema) => describeSchema(schema.urn, schema, base)),
    ...extensions.map(({ name, description, sub }) =>
      describeSchema(name, { name: description, description, attributes: sub }, base),
    ),
  ];
}

function isExtension({ name }: Attribute): boolean {
  return name.includes(':');
}

function describeSchema(
  urn: string,
  { name, description, attributes }: Pick<ResourceSchema, 'description' | 'attributes'> & { readonly name: string },
  base: string,
) {
  // Those that every resource has belong to no schema (RFC 7643, 3.1).
  const own = attributes.filter((attribute) => !isExtension(attribute) && !isCommon(attribute));
  return {
    schemas: [`${core}:Schema`],
    id: urn,
    name,
    description,
    attributes: own.map(describeAttribute),
    meta: { resourceType: 'Schema', location: `${base}/Schemas/${urn}` },
  };
}

function isCommon({ name }: Attribute): boolean {
  return ['schemas', 'id', 'externalId', 'meta'].includes(name);
}

function describeAttribute(attribute: Attribute): object {
  return {
    name: attribute.name,
    type: attribute.type,
    multiValued: attribute.multiValued,
    description: attribute.description,
    required: attribute.required,
    caseExact: attribute.caseExact,
    mutability: attribute.readOnly ? 'readOnly' : 'readWrite',
    returned: attribute.always ? 'always' : 'default',
    uniqueness: attribute.unique ? 'server' : 'none',
    ...(attribute.referenceTypes.length === 0 ? {} : { referenceTypes: attribute.referenceTypes }),
    ...(attribute.sub.length === 0 ? {} : { subAttributes: attribute.sub.map(describeAttribute) }),
  };
}
