/** What reaches what: devices, resources, rules, policy tests, the explanation of access, and the settings. */
import { z } from 'zod';
import { route } from '../contract.ts';
import * as entities from '../entities.ts';
import * as field from '../fields.ts';

/** PostgreSQL keeps no such character. */
const NO_NUL = /^[^\u0000]*$/;
/** An id, or the name that stands for it. */
const reference = z
  .string()
  .min(1)
  .max(64)
  .regex(/^[^\u0000-\u001f\u007f]*$/, 'no control characters')
  .meta({ description: 'An id or a name' });
const listQuery = z.strictObject(field.pageQuery);
const deviceParams = z.strictObject({ deviceId: reference.meta({ description: 'The id of a device' }) });
/** Of one's own devices, the name says enough. */
const myDeviceParams = z.strictObject({ deviceId: field.label.meta({ description: 'The id or name of a device' }) });
const resourceParams = z.strictObject({ resourceId: reference });
const ruleParams = z.strictObject({ ruleId: reference });
const policyTestParams = z.strictObject({ policyTestId: field.label.meta({ description: 'An id or a name' }) });

const configurationQuery = z.strictObject({
  gateway: reference.optional().meta({ description: 'The gateway; default: the recommended one' }),
});
const deviceColumns = ['id', 'name', 'userName', 'protocol', 'standing', 'ipv4', 'ipv6', 'lastHandshakeAt'];

const resourceFields = {
  name: field.slug,
  description: field.note.regex(NO_NUL, 'no NUL'),
  kind: entities.resource.shape.kind,
  prefixes: entities.resource.shape.prefixes,
  domain: entities.resource.shape.domain,
  services: entities.resource.shape.services,
};
const ruleReferences = z.array(reference).max(1000);
const testTarget = {
  destination: entities.policyTest.shape.destination.regex(NO_NUL, 'no NUL'),
  protocol: entities.policyTest.shape.protocol,
  /** For tcp and udp. */
  port: field.port.nullable(),
};

/** Which user reaches what, as a question. */
const accessQuery = {
  destination: z.string().min(1).max(253).meta({ description: 'An address, or the DNS name of a resource' }),
  protocol: z.enum(['tcp', 'udp', 'icmp']).default('tcp'),
  port: z.coerce.number().int().min(1).max(65_535).optional().meta({ description: 'For tcp and udp' }),
  gateway: reference.optional().meta({ description: 'Through this gateway; default: through any' }),
};

export const accessAnswer = z
  .strictObject({
    userId: field.id,
    userName: field.slug,
    verdict: z.enum(['allow', 'deny']),
    reason: z.enum([
      'rule',
      'noRule',
      'otherGateway',
      'standing',
      'unknownDestination',
      'unknownUser',
      'unknownGateway',
    ]),
    /** The rule that allows it, and the resource and group by which it does. */
    ruleId: field.id.nullable(),
    ruleName: z.string().nullable(),
    resourceId: field.id.nullable(),
    resourceName: z.string().nullable(),
    groupId: field.id.nullable(),
    groupName: z.string().nullable(),
    /** With `standing`: what keeps the user's devices out. */
    standing: entities.deviceStanding.nullable(),
    /** Ids of the gateways through which it is allowed. */
    gateways: z.array(field.id),
    text: z.string(),
  })
  .meta({ id: 'AccessAnswer' });

/** The policy as one document, in which everything goes by name. */
const policySections = {
  resources: z
    .array(
      z.strictObject({
        name: field.slug,
        description: resourceFields.description.default(''),
        kind: resourceFields.kind,
        prefixes: resourceFields.prefixes.default([]),
        domain: resourceFields.domain.default(null),
        services: resourceFields.services.default([]),
      }),
    )
    .max(10_000),
  rules: z
    .array(
      z.strictObject({
        name: field.slug,
        enabled: z.boolean().default(true),
        groups: ruleReferences,
        resources: ruleReferences,
        /** None means all gateways. */
        gateways: ruleReferences.default([]),
      }),
    )
    .max(10_000),
  tests: z
    .array(
      z.strictObject({
        name: field.label,
        user: reference,
        destination: testTarget.destination,
        protocol: testTarget.protocol,
        port: testTarget.port.default(null),
        /** Null: through any gateway. */
        gateway: reference.nullable().default(null),
        expect: entities.policyTest.shape.expect,
      }),
    )
    .max(10_000),
};

/** A digest of the document: it is another as soon as anything in it is. */
const policyVersion = z.number().int().min(0);

export const policy = z.strictObject({ version: policyVersion, ...policySections }).meta({ id: 'Policy' });

/** What of a policy is to be replaced. */
export const policyChange = z.strictObject({
  version: policyVersion.optional(),
  resources: policySections.resources.optional(),
  rules: policySections.rules.optional(),
  tests: policySections.tests.optional(),
});

export const policyCheck = z
  .strictObject({
    /** The policy tests that would fail. */
    failingTests: z.array(z.strictObject({ name: z.string(), expected: z.string(), explanation: z.string() })),
    /** Who would gain or lose which resource, at most a thousand. */
    differences: z.array(
      z.strictObject({
        userName: z.string(),
        resourceName: z.string(),
        /** `changes`: the user keeps the resource, which is something else than before. */
        change: z.enum(['gains', 'loses', 'changes']),
        /** Names of gateways; none means all of them. */
        gateways: z.array(z.string()),
      }),
    ),
    /** There are more differences than these. */
    truncated: z.boolean(),
  })
  .meta({ id: 'PolicyCheck' });

const { shape: settingsShape } = entities.settings;

export const accessRoutes = {
  listMyDevices: route({
    id: 'listMyDevices',
    method: 'GET',
    path: '/me/devices',
    summary: "The caller's devices, by name",
    permission: 'self',
    tag: 'me',
    query: listQuery,
    result: field.page(entities.device),
    command: {
      name: 'me device list',
      examples: ['sallyport me device list'],
      columns: ['name', 'protocol', 'standing', 'ipv4', 'ipv6', 'lastHandshakeAt'],
    },
  }),
  addMyDevice: route({
    id: 'addMyDevice',
    method: 'POST',
    path: '/me/devices',
    summary: 'Adds a device by its public key; the private key stays where it was made',
    permission: 'self',
    client: true,
    tag: 'me',
    body: z.strictObject({ name: field.label, publicKey: field.publicKey }),
    result: entities.device,
    status: 201,
    versioned: true,
    command: {
      name: 'me device add',
      positional: ['name', 'publicKey'],
      examples: ['sallyport me device add laptop "$(wg genkey | tee laptop.key | wg pubkey)"'],
    },
  }),
  getMyDevice: route({
    id: 'getMyDevice',
    method: 'GET',
    path: '/me/devices/{deviceId}',
    summary: "One of the caller's devices",
    permission: 'self',
    client: true,
    tag: 'me',
    params: myDeviceParams,
    result: entities.device,
    versioned: true,
    command: { name: 'me device show', positional: ['deviceId'], examples: ['sallyport me device show laptop'] },
  }),
  updateMyDevice: route({
    id: 'updateMyDevice',
    method: 'PATCH',
    path: '/me/devices/{deviceId}',
    summary: "Gives one of the caller's devices another name",
    permission: 'self',
    tag: 'me',
    params: myDeviceParams,
    body: z.strictObject({ name: field.label }),
    result: entities.device,
    versioned: true,
    command: {
      name: 'me device update',
      positional: ['deviceId'],
      examples: ['sallyport me device update laptop --name "old laptop"'],
    },
  }),
  removeMyDevice: route({
    id: 'removeMyDevice',
    method: 'DELETE',
    path: '/me/devices/{deviceId}',
    summary: "Removes one of the caller's devices, which is cut off at once",
    permission: 'self',
    client: true,
    tag: 'me',
    params: myDeviceParams,
    versioned: true,
    command: { name: 'me device remove', positional: ['deviceId'], examples: ['sallyport me device remove laptop'] },
  }),
  getMyDeviceConfiguration: route({
    id: 'getMyDeviceConfiguration',
    method: 'GET',
    path: '/me/devices/{deviceId}/configuration',
    summary: 'The WireGuard configuration of a device, but for its private key, which only the device has',
    permission: 'self',
    tag: 'me',
    params: myDeviceParams,
    query: configurationQuery,
    result: z.string(),
    mediaType: 'text/plain',
    command: {
      name: 'me device config',
      positional: ['deviceId'],
      examples: [
        'sallyport me device config laptop > sallyport.conf',
        'sallyport me device config laptop --gateway oslo-1',
      ],
    },
  }),

  listDevices: route({
    id: 'listDevices',
    method: 'GET',
    path: '/devices',
    summary: 'All devices, by name',
    permission: 'devices:read',
    tag: 'devices',
    query: z.strictObject({
      ...field.pageQuery,
      user: reference.optional().meta({ description: 'Only the devices of this user' }),
      approved: z.enum(['true', 'false']).optional(),
      networks: z
        .enum(['waiting', 'any'])
        .optional()
        .meta({ description: 'Only devices with a network behind them that waits for approval, or with any' }),
      standing: entities.deviceStanding.optional(),
      gateway: reference.optional().meta({ description: 'Only devices whose last handshake was at this gateway' }),
    }),
    result: field.page(entities.device),
    command: {
      name: 'device list',
      examples: [
        'sallyport device list',
        'sallyport device list --user alice',
        'sallyport device list --approved false',
        'sallyport device list --standing trafficUsedUp --gateway oslo-1',
      ],
      columns: deviceColumns,
    },
  }),
  createDevice: route({
    id: 'createDevice',
    method: 'POST',
    path: '/devices',
    summary: 'Adds a device of a user by its public key, approved',
    permission: 'devices:write',
    tag: 'devices',
    body: z.strictObject({
      user: reference,
      name: field.label,
      publicKey: field.publicKey,
      expiresAt: field.time.nullable().optional(),
      bitsPerSecond: field.bitsPerSecond.nullable().optional(),
    }),
    result: entities.device,
    status: 201,
    versioned: true,
    command: {
      name: 'device create',
      positional: ['user', 'name', 'publicKey'],
      examples: ['sallyport device create alice laptop "$(wg pubkey < laptop.key)" --expires-at 2027-01-31T00:00:00Z'],
    },
  }),
  getDevice: route({
    id: 'getDevice',
    method: 'GET',
    path: '/devices/{deviceId}',
    summary: 'One device',
    permission: 'devices:read',
    tag: 'devices',
    params: deviceParams,
    result: entities.device,
    versioned: true,
    command: {
      name: 'device show',
      positional: ['deviceId'],
      examples: ['sallyport device show 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e'],
    },
  }),
  updateDevice: route({
    id: 'updateDevice',
    method: 'PATCH',
    path: '/devices/{deviceId}',
    summary: 'Changes a device; one whose approval is taken back is cut off at once',
    permission: 'devices:write',
    tag: 'devices',
    params: deviceParams,
    body: z.strictObject({
      name: field.label.optional(),
      approved: z.boolean().optional(),
      expiresAt: field.time.nullable().optional(),
      bitsPerSecond: field.bitsPerSecond.nullable().optional(),
    }),
    result: entities.device,
    versioned: true,
    command: {
      name: 'device update',
      positional: ['deviceId'],
      examples: [
        'sallyport device update 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e --approved true',
        'sallyport device update 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e --bits-per-second 20000000',
      ],
    },
  }),
  deleteDevice: route({
    id: 'deleteDevice',
    method: 'DELETE',
    path: '/devices/{deviceId}',
    summary: 'Removes a device, which is cut off at once',
    permission: 'devices:write',
    tag: 'devices',
    params: deviceParams,
    versioned: true,
    command: {
      name: 'device delete',
      positional: ['deviceId'],
      examples: ['sallyport device delete 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e'],
    },
  }),
  approveNetworks: route({
    id: 'approveNetworks',
    method: 'PUT',
    path: '/devices/{deviceId}/networks',
    summary: 'Says which of the networks that a device offers others may reach through it, and no others from then on',
    permission: 'devices:write',
    tag: 'devices',
    params: deviceParams,
    body: z.strictObject({
      approved: z
        .array(z.union([z.cidrv4(), z.cidrv6()], 'a prefix: 10.20.0.0/16'))
        .max(64)
        .meta({ description: 'Prefixes that the device offers' }),
      createResource: z
        .boolean()
        .optional()
        .meta({ description: 'Create a resource of them too, with the name of the device; needs policy:write' }),
    }),
    result: entities.device,
    versioned: true,
    command: {
      name: 'device approve-networks',
      positional: ['deviceId'],
      examples: [
        'sallyport device approve-networks 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e --approved 10.20.0.0/16 --create-resource true',
      ],
    },
  }),
  getDeviceConfiguration: route({
    id: 'getDeviceConfiguration',
    method: 'GET',
    path: '/devices/{deviceId}/configuration',
    summary: 'The WireGuard configuration of a device, but for its private key',
    permission: 'devices:read',
    tag: 'devices',
    params: deviceParams,
    query: configurationQuery,
    result: z.string(),
    mediaType: 'text/plain',
    command: {
      name: 'device config',
      positional: ['deviceId'],
      examples: ['sallyport device config 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e --gateway oslo-1'],
    },
  }),

  listResources: route({
    id: 'listResources',
    method: 'GET',
    path: '/resources',
    summary: 'The resources, by name',
    permission: 'policy:read',
    tag: 'policy',
    query: listQuery,
    result: field.page(entities.resource),
    command: {
      name: 'resource list',
      examples: ['sallyport resource list'],
      columns: ['name', 'kind', 'prefixes', 'domain', 'services', 'description'],
    },
  }),
  createResource: route({
    id: 'createResource',
    method: 'POST',
    path: '/resources',
    summary: 'Creates a resource, which nobody reaches until a rule says so',
    permission: 'policy:write',
    tag: 'policy',
    body: z.strictObject({
      name: resourceFields.name,
      description: resourceFields.description.optional(),
      kind: resourceFields.kind.default('network'),
      prefixes: resourceFields.prefixes.optional(),
      domain: resourceFields.domain.optional(),
      services: resourceFields.services.optional(),
    }),
    result: entities.resource,
    status: 201,
    versioned: true,
    command: {
      name: 'resource create',
      positional: ['name'],
      examples: [
        'sallyport resource create office --prefixes 10.20.0.0/16,fd20::/48',
        'sallyport resource create wiki --kind name --domain wiki.corp.example',
        'sallyport resource create database --prefixes 10.20.0.5 --services tcp/5432',
      ],
    },
  }),
  getResource: route({
    id: 'getResource',
    method: 'GET',
    path: '/resources/{resourceId}',
    summary: 'One resource',
    permission: 'policy:read',
    tag: 'policy',
    params: resourceParams,
    result: entities.resource,
    versioned: true,
    command: { name: 'resource show', positional: ['resourceId'], examples: ['sallyport resource show office'] },
  }),
  updateResource: route({
    id: 'updateResource',
    method: 'PATCH',
    path: '/resources/{resourceId}',
    summary: 'Changes a resource, for everybody who reaches it',
    permission: 'policy:write',
    tag: 'policy',
    params: resourceParams,
    body: z.strictObject(resourceFields).partial(),
    result: entities.resource,
    versioned: true,
    command: {
      name: 'resource update',
      positional: ['resourceId'],
      examples: ['sallyport resource update office --prefixes 10.20.0.0/16,10.21.0.0/16,fd20::/48'],
    },
  }),
  deleteResource: route({
    id: 'deleteResource',
    method: 'DELETE',
    path: '/resources/{resourceId}',
    summary: 'Removes a resource that no rule uses',
    permission: 'policy:write',
    tag: 'policy',
    params: resourceParams,
    versioned: true,
    command: { name: 'resource delete', positional: ['resourceId'], examples: ['sallyport resource delete office'] },
  }),

  listRules: route({
    id: 'listRules',
    method: 'GET',
    path: '/rules',
    summary: 'The rules, by name',
    permission: 'policy:read',
    tag: 'policy',
    query: listQuery,
    result: field.page(entities.rule),
    command: {
      name: 'rule list',
      examples: ['sallyport rule list'],
      columns: ['name', 'enabled', 'groups', 'resources', 'gateways'],
    },
  }),
  createRule: route({
    id: 'createRule',
    method: 'POST',
    path: '/rules',
    summary: 'Creates a rule: these groups reach these resources through these gateways, or through all',
    permission: 'policy:write',
    tag: 'policy',
    body: z.strictObject({
      name: field.slug,
      enabled: z.boolean().optional(),
      groups: ruleReferences,
      resources: ruleReferences,
      gateways: ruleReferences.optional().meta({ description: 'Default: all gateways, those to come as well' }),
    }),
    result: entities.rule,
    status: 201,
    versioned: true,
    command: {
      name: 'rule create',
      positional: ['name'],
      examples: [
        'sallyport rule create engineers-office --groups engineering --resources office,wiki --gateways oslo-1',
      ],
    },
  }),
  getRule: route({
    id: 'getRule',
    method: 'GET',
    path: '/rules/{ruleId}',
    summary: 'One rule',
    permission: 'policy:read',
    tag: 'policy',
    params: ruleParams,
    result: entities.rule,
    versioned: true,
    command: { name: 'rule show', positional: ['ruleId'], examples: ['sallyport rule show engineers-office'] },
  }),
  updateRule: route({
    id: 'updateRule',
    method: 'PATCH',
    path: '/rules/{ruleId}',
    summary: 'Changes a rule; flows that it no longer allows end at once',
    permission: 'policy:write',
    tag: 'policy',
    params: ruleParams,
    body: z
      .strictObject({
        name: field.slug,
        enabled: z.boolean(),
        groups: ruleReferences,
        resources: ruleReferences,
        gateways: ruleReferences,
      })
      .partial(),
    result: entities.rule,
    versioned: true,
    command: {
      name: 'rule update',
      positional: ['ruleId'],
      examples: ['sallyport rule update engineers-office --enabled false'],
    },
  }),
  deleteRule: route({
    id: 'deleteRule',
    method: 'DELETE',
    path: '/rules/{ruleId}',
    summary: 'Removes a rule; flows that only it allowed end at once',
    permission: 'policy:write',
    tag: 'policy',
    params: ruleParams,
    versioned: true,
    command: { name: 'rule delete', positional: ['ruleId'], examples: ['sallyport rule delete engineers-office'] },
  }),

  listPolicyTests: route({
    id: 'listPolicyTests',
    method: 'GET',
    path: '/policy-tests',
    summary: 'The policy tests, by name',
    permission: 'policy:read',
    tag: 'policy',
    query: listQuery,
    result: field.page(entities.policyTest),
    command: {
      name: 'policy-test list',
      examples: ['sallyport policy-test list'],
      columns: ['name', 'userId', 'destination', 'protocol', 'port', 'gatewayId', 'expect'],
    },
  }),
  createPolicyTest: route({
    id: 'createPolicyTest',
    method: 'POST',
    path: '/policy-tests',
    summary: 'Creates a policy test, which must hold now; a change that breaks it is refused from then on',
    permission: 'policy:write',
    tag: 'policy',
    body: z.strictObject({
      name: field.label,
      user: reference,
      destination: testTarget.destination,
      protocol: testTarget.protocol.default('tcp'),
      port: testTarget.port.optional(),
      gateway: reference.nullable().optional(),
      expect: entities.policyTest.shape.expect,
    }),
    result: entities.policyTest,
    status: 201,
    versioned: true,
    command: {
      name: 'policy-test create',
      positional: ['name', 'user', 'destination'],
      examples: [
        'sallyport policy-test create "alice uses the database" alice 10.20.0.5 --port 5432 --expect allow',
        'sallyport policy-test create "bob does not" bob 10.20.0.5 --port 5432 --expect deny',
      ],
    },
  }),
  getPolicyTest: route({
    id: 'getPolicyTest',
    method: 'GET',
    path: '/policy-tests/{policyTestId}',
    summary: 'One policy test',
    permission: 'policy:read',
    tag: 'policy',
    params: policyTestParams,
    result: entities.policyTest,
    versioned: true,
    command: {
      name: 'policy-test show',
      positional: ['policyTestId'],
      examples: ['sallyport policy-test show "bob does not"'],
    },
  }),
  updatePolicyTest: route({
    id: 'updatePolicyTest',
    method: 'PATCH',
    path: '/policy-tests/{policyTestId}',
    summary: 'Changes a policy test, which must hold then',
    permission: 'policy:write',
    tag: 'policy',
    params: policyTestParams,
    body: z
      .strictObject({
        name: field.label,
        user: reference,
        ...testTarget,
        gateway: reference.nullable(),
        expect: entities.policyTest.shape.expect,
      })
      .partial(),
    result: entities.policyTest,
    versioned: true,
    command: {
      name: 'policy-test update',
      positional: ['policyTestId'],
      examples: ['sallyport policy-test update "bob does not" --port 5433'],
    },
  }),
  deletePolicyTest: route({
    id: 'deletePolicyTest',
    method: 'DELETE',
    path: '/policy-tests/{policyTestId}',
    summary: 'Removes a policy test',
    permission: 'policy:write',
    tag: 'policy',
    params: policyTestParams,
    versioned: true,
    command: {
      name: 'policy-test delete',
      positional: ['policyTestId'],
      examples: ['sallyport policy-test delete "bob does not"'],
    },
  }),

  getPolicy: route({
    id: 'getPolicy',
    method: 'GET',
    path: '/policy',
    summary: 'Resources, rules and policy tests as one document, in which everything goes by name',
    permission: 'policy:read',
    tag: 'policy',
    result: policy,
    versioned: true,
    command: { name: 'policy show', examples: ['sallyport policy show --json > policy.json'] },
  }),
  replacePolicy: route({
    id: 'replacePolicy',
    method: 'PUT',
    path: '/policy',
    summary: 'Replaces all resources, rules and policy tests at once; what has the same name stays the same thing',
    permission: 'policy:write',
    tag: 'policy',
    body: z.strictObject({ version: policyVersion.optional(), ...policySections }),
    result: policy,
    versioned: true,
    command: { name: 'policy replace', examples: ['sallyport policy replace --file policy.json'] },
  }),
  checkPolicy: route({
    id: 'checkPolicy',
    method: 'POST',
    path: '/policy/check',
    summary: 'Says what a policy would do, without making it so; parts that are left out stay as they are',
    permission: 'policy:read',
    tag: 'policy',
    body: policyChange,
    result: policyCheck,
    command: { name: 'policy check', examples: ['sallyport policy check --file policy.json'] },
  }),

  explainAccess: route({
    id: 'explainAccess',
    method: 'GET',
    path: '/access/explain',
    summary: 'Whether a user reaches something now, and the rule that decides',
    permission: 'policy:read',
    tag: 'access',
    query: z.strictObject({ user: reference, ...accessQuery }),
    result: accessAnswer,
    command: {
      name: 'access explain',
      positional: ['user', 'destination'],
      examples: [
        'sallyport access explain alice 10.20.0.5 --port 5432',
        'sallyport access explain bob wiki.corp.example --port 443 --gateway oslo-1',
      ],
    },
  }),
  whoCanReach: route({
    id: 'whoCanReach',
    method: 'GET',
    path: '/access/who-can-reach',
    summary: 'Everybody whom the rules let reach something, by name, with the rule that decides',
    permission: 'policy:read',
    tag: 'access',
    query: z.strictObject({ limit: field.pageQuery.limit, after: field.pageQuery.after, ...accessQuery }),
    result: field.page(accessAnswer),
    command: {
      name: 'access who',
      positional: ['destination'],
      examples: ['sallyport access who 10.20.0.5 --port 5432'],
      columns: ['userName', 'verdict', 'ruleName', 'groupName', 'standing'],
    },
  }),

  getSettings: route({
    id: 'getSettings',
    method: 'GET',
    path: '/settings',
    summary: 'The settings of the service',
    permission: 'settings:read',
    tag: 'settings',
    result: entities.settings,
    versioned: true,
    command: { name: 'settings show', examples: ['sallyport settings show'] },
  }),
  updateSettings: route({
    id: 'updateSettings',
    method: 'PATCH',
    path: '/settings',
    summary: 'Changes settings',
    permission: 'settings:write',
    tag: 'settings',
    body: z
      .strictObject({
        dns: settingsShape.dns.partial(),
        allowedIps: settingsShape.allowedIps,
        persistentKeepaliveSeconds: settingsShape.persistentKeepaliveSeconds,
        openvpn: settingsShape.openvpn.partial(),
        connectionAudit: settingsShape.connectionAudit.partial(),
        auditAddresses: settingsShape.auditAddresses,
        usageRetentionDays: settingsShape.usageRetentionDays,
      })
      .partial(),
    result: entities.settings,
    versioned: true,
    command: {
      name: 'settings update',
      examples: [
        `sallyport settings update --dns-servers 10.20.0.53 --dns-search-domains corp.example`,
        'sallyport settings update --dns-upstreams tls://9.9.9.9:853#dns.quad9.net',
        `sallyport settings update --dns-hosts '[{"name":"wiki.corp.example","addresses":["10.20.0.5"]}]'`,
        'sallyport settings update --openvpn-old-clients true',
        'sallyport settings update --audit-addresses true',
      ],
    },
  }),
} as const;

export type Policy = z.infer<typeof policy>;
export type PolicyChange = z.output<typeof policyChange>;
export type PolicyCheck = z.infer<typeof policyCheck>;
export type AccessExplanation = z.infer<typeof accessAnswer>;
