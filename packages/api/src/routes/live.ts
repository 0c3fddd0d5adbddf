/** What happens now: figures of the whole service, and what changes, as it does. */
import { z } from 'zod';
import { route } from '../contract.ts';
import * as entities from '../entities.ts';
import * as field from '../fields.ts';

const count = z.number().int().min(0);

/** One moment of one gateway. */
const gatewaySample = z.strictObject({
  gatewayId: field.id,
  receivedBitsPerSecond: z.number().min(0),
  sentBitsPerSecond: z.number().min(0),
  /** Devices with a session. */
  activeDevices: count,
  /** Handshakes since the sample before. */
  handshakes: count,
});

export const sample = z.strictObject({ at: field.time, gateways: z.array(gatewaySample) }).meta({ id: 'Sample' });

export const overview = z
  .strictObject({
    users: z.strictObject({ total: count, disabled: count }),
    devices: z.strictObject({ total: count, active: count, awaitingApproval: count }),
    gateways: z.strictObject({ total: count, healthy: count, draining: count }),
    /** Name and region of the gateways that the samples speak of. */
    gatewayNames: z.array(
      z.strictObject({
        id: field.id,
        name: field.slug,
        regionId: field.slug,
        regionName: field.label,
        health: entities.gatewayHealth,
      }),
    ),
    sampleSeconds: z.number().int(),
    /** The last hour, as far as this node of the service has run so long; the oldest first. */
    samples: z.array(sample),
    /** What an administrator should look at, the most urgent first. */
    notices: z.array(
      z.strictObject({
        kind: z.enum([
          'noGateway',
          'gatewayUnhealthy',
          'devicesAwaitApproval',
          'networksAwaitApproval',
          'noSecondFactor',
          'noPolicy',
        ]),
        /** For people. */
        text: z.string(),
        count,
      }),
    ),
  })
  .meta({ id: 'Overview' });

/** The events of the stream, by name; `data` is JSON. */
export const events = {
  /** First. `version` is that of the software: where it is another than the console's, the page is old. */
  hello: z.strictObject({ version: z.string() }),
  /** Something was created, changed or removed, in whatever the caller may read: ask for it again. */
  change: z.strictObject({
    kind: z.enum([
      'user',
      'group',
      'device',
      'region',
      'gateway',
      'resource',
      'rule',
      'policyTest',
      'settings',
      'usage',
      'invitation',
      'token',
      'identityProvider',
      'scimClient',
      'session',
      /** Some were missed: everything may have changed. */
      'everything',
    ]),
    /** Empty with `everything`. */
    id: z.string(),
  }),
  /** Health, load or devices of gateways were reported. Only with the permission gateways:read. */
  sample,
  /** The session is over or may do less: the stream ends after it. */
  bye: z.strictObject({ reason: z.enum(['loggedOut', 'permissions', 'shutdown']) }),
} as const;

export const liveRoutes = {
  getOverview: route({
    id: 'getOverview',
    method: 'GET',
    path: '/overview',
    summary: 'What there is, what it does now, and what needs somebody',
    permission: 'gateways:read',
    tag: 'live',
    result: overview,
    command: {
      name: 'overview',
      examples: ['sallyport overview', 'sallyport overview --json'],
      onlyJson: ['sampleSeconds', 'samples'],
    },
  }),
  streamEvents: route({
    id: 'streamEvents',
    method: 'GET',
    path: '/events',
    summary: 'What changes, as server-sent events: hello, change, sample, bye',
    permission: 'self',
    tag: 'live',
    result: z.string(),
    mediaType: 'text/event-stream',
  }),
} as const;

export type Sample = z.infer<typeof sample>;
export type Overview = z.infer<typeof overview>;
export type EventName = keyof typeof events;
export type EventData<N extends EventName> = z.infer<(typeof events)[N]>;
