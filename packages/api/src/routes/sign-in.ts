/** How people sign in beyond a password: second factors, passkeys, identity providers, SCIM, and proving oneself again. */
import { z } from 'zod';
import { route } from '../contract.ts';
import * as field from '../fields.ts';
import { login, typedPassword } from './login-answer.ts';

const reference = z.string().min(1).max(64).meta({ description: 'An id or a name' });
/** Of an authenticator app, or a recovery code; people type both with spaces and hyphens. */
export const typedCode = z.string().trim().min(6).max(40).meta({ format: 'password' });
/** What a server gave to be signed by a passkey, sealed: it holds its purpose and its end. */
const challenge = z.string().min(1).max(2000);
/** WebAuthn's own JSON (Web Authentication Level 3, 5.1.8 to 5.1.10), which its libraries check. */
const webauthn = z.looseObject({});

export const passkeyRequest = z.strictObject({ challenge, options: webauthn }).meta({ id: 'PasskeyRequest' });
const passkeyAnswer = { challenge, response: webauthn };

export const signInMethods = z
  .strictObject({
    /** There is no administrator yet: the server's one-time link creates one. */
    setupNeeded: z.boolean(),
    passkeys: z.boolean(),
    /** Where a browser goes to log in: `/login/oidc/{id}/start`. */
    providers: z.array(z.strictObject({ id: field.id, name: field.label })),
  })
  .meta({ id: 'SignInMethods' });

export const passkey = z
  .strictObject({
    id: field.id,
    name: field.label,
    createdAt: field.time,
    lastUsedAt: field.time.nullable(),
    /** Its maker keeps a copy, so that it is on the user's other machines as well. */
    synced: z.boolean(),
  })
  .meta({ id: 'Passkey' });

export const secondFactors = z
  .strictObject({
    /** A group of the user demands one. */
    required: z.boolean(),
    hasPassword: z.boolean(),
    /** Null where no authenticator app is set up. */
    totp: z.strictObject({ createdAt: field.time }).nullable(),
    recoveryCodesLeft: z.number().int().min(0),
    passkeys: z.array(passkey),
  })
  .meta({ id: 'SecondFactors' });

export const newTotp = z
  .strictObject({
    /** Base32, for who types it. */
    secret: z.string(),
    /** `otpauth://totp/…`, for a QR code. */
    uri: z.string(),
  })
  .meta({ id: 'NewTotp' });

export const recoveryCodes = z
  .strictObject({
    /** Shown this once; each is good for one login. Empty where the ones given before still count. */
    recoveryCodes: z.array(z.string()),
  })
  .meta({ id: 'RecoveryCodes' });

export const stepUpOptions = z
  .strictObject({
    /** What the user can prove themselves with; `password` goes with a code where an authenticator app is set up. */
    password: z.boolean(),
    code: z.boolean(),
    passkey: passkeyRequest.nullable(),
    /** Log in at the provider again: `/login/oidc/{id}/start?stepUp=true`. */
    provider: z.strictObject({ id: field.id, name: field.label }).nullable(),
  })
  .meta({ id: 'StepUpOptions' });

const groupMapping = z
  .array(z.strictObject({ claim: z.string().min(1).max(200), groupId: field.id }))
  .max(500)
  .meta({ description: 'Which value of the groups claim makes a user a member of which group' });

export const identityProvider = z
  .strictObject({
    id: field.id,
    name: field.label,
    /** As in the tokens: `https://login.example.com`. */
    issuer: z.url().max(500),
    clientId: z.string().min(1).max(500),
    hasClientSecret: z.boolean(),
    /** To be registered at the provider. */
    redirectUri: z.url(),
    scopes: z.array(z.string().min(1).max(100)).max(20),
    enabled: z.boolean(),
    /** Who comes for the first time gets a user. */
    createUsers: z.boolean(),
    /** Domains of verified mail addresses from which users are taken; none means all. */
    emailDomains: z.array(z.hostname().max(253)).max(100),
    /** Who has the verified mail address of a user is that user. */
    linkByEmail: z.boolean(),
    /** The provider asks for a second factor itself, so that no other is asked for. */
    asksSecondFactor: z.boolean(),
    groupsClaim: z.string().max(100),
    /** A value of the claim that is a group's name makes a member of it, besides the mapping. */
    groupsByName: z.boolean(),
    groupMapping,
    version: field.version,
  })
  .meta({ id: 'IdentityProvider' });

const providerFields = {
  name: field.label,
  issuer: identityProvider.shape.issuer,
  clientId: identityProvider.shape.clientId,
  clientSecret: z.string().min(1).max(1000).nullable().meta({ format: 'password' }),
  scopes: identityProvider.shape.scopes,
  enabled: z.boolean(),
  createUsers: z.boolean(),
  emailDomains: identityProvider.shape.emailDomains,
  linkByEmail: z.boolean(),
  asksSecondFactor: z.boolean(),
  groupsClaim: identityProvider.shape.groupsClaim,
  groupsByName: z.boolean(),
  groupMapping,
};

export const identityProviderCheck = z
  .strictObject({
    works: z.boolean(),
    /** What is wrong, and what to do about it; or what was found. */
    message: z.string(),
  })
  .meta({ id: 'IdentityProviderCheck' });

export const scimClient = z
  .strictObject({
    id: field.id,
    name: field.label,
    createdAt: field.time,
    lastUsedAt: field.time.nullable(),
    userCount: z.number().int(),
    groupCount: z.number().int(),
  })
  .meta({ id: 'ScimClient' });

export const newScimClient = z
  .strictObject({
    ...scimClient.shape,
    /** Shown this once. */
    token: z.string(),
    /** `https://vpn.example.org/scim/v2` */
    url: z.string(),
  })
  .meta({ id: 'NewScimClient' });

const clientOptions = {
  client: z.string().max(100).optional().meta({ description: 'What the client calls itself: `alice-laptop`' }),
  cookie: z.boolean().optional().meta({ description: 'For browsers: the session becomes a cookie' }),
};
const providerParams = z.strictObject({ providerId: reference });

export const signInRoutes = {
  listSignInMethods: route({
    id: 'listSignInMethods',
    method: 'GET',
    path: '/login/methods',
    summary: 'How people can log in here',
    permission: 'public',
    tag: 'login',
    result: signInMethods,
  }),
  beginPasskeyLogin: route({
    id: 'beginPasskeyLogin',
    method: 'POST',
    path: '/login/passkey/options',
    summary: 'What a passkey has to sign to log in',
    permission: 'public',
    tag: 'login',
    result: passkeyRequest,
  }),
  logInWithPasskey: route({
    id: 'logInWithPasskey',
    method: 'POST',
    path: '/login/passkey',
    summary: 'Logs a user in by a passkey, which is both factors',
    permission: 'public',
    tag: 'login',
    body: z.strictObject({ ...passkeyAnswer, ...clientOptions }),
    result: login,
  }),

  beginStepUp: route({
    id: 'beginStepUp',
    method: 'POST',
    path: '/me/step-up/options',
    summary: 'How the caller can prove again that it is them',
    permission: 'enrol',
    tag: 'me',
    result: stepUpOptions,
  }),
  stepUp: route({
    id: 'stepUp',
    method: 'POST',
    path: '/me/step-up',
    summary: 'Proves again that it is the caller, for what is dangerous: by password and code, or by passkey',
    permission: 'enrol',
    tag: 'me',
    body: z.strictObject({
      password: typedPassword.optional(),
      code: typedCode.optional(),
      passkey: z.strictObject(passkeyAnswer).optional(),
    }),
    result: z.strictObject({ authenticatedAt: field.time }),
  }),

  getMySecondFactors: route({
    id: 'getMySecondFactors',
    method: 'GET',
    path: '/me/second-factors',
    summary: "The caller's authenticator app, recovery codes and passkeys",
    permission: 'enrol',
    tag: 'me',
    result: secondFactors,
    command: { name: 'me second-factors', examples: ['sallyport me second-factors'] },
  }),
  beginTotp: route({
    id: 'beginTotp',
    method: 'POST',
    path: '/me/second-factors/totp',
    summary: 'Makes a secret for an authenticator app (TOTP, RFC 6238), which counts once a code of it was shown',
    permission: 'enrol',
    stepUp: true,
    tag: 'me',
    result: newTotp,
  }),
  confirmTotp: route({
    id: 'confirmTotp',
    method: 'POST',
    path: '/me/second-factors/totp/confirmation',
    summary: 'Shows a code of the authenticator app; from then on logins ask for one',
    permission: 'enrol',
    tag: 'me',
    body: z.strictObject({ code: typedCode }),
    result: recoveryCodes,
  }),
  removeTotp: route({
    id: 'removeTotp',
    method: 'DELETE',
    path: '/me/second-factors/totp',
    summary: 'Forgets the authenticator app',
    permission: 'self',
    stepUp: true,
    tag: 'me',
  }),
  createRecoveryCodes: route({
    id: 'createRecoveryCodes',
    method: 'POST',
    path: '/me/second-factors/recovery-codes',
    summary: 'Makes new recovery codes; those before count no more',
    permission: 'self',
    stepUp: true,
    tag: 'me',
    result: recoveryCodes,
  }),
  beginPasskey: route({
    id: 'beginPasskey',
    method: 'POST',
    path: '/me/second-factors/passkeys/options',
    summary: 'What a browser needs to make a passkey',
    permission: 'enrol',
    stepUp: true,
    tag: 'me',
    result: passkeyRequest,
  }),
  addPasskey: route({
    id: 'addPasskey',
    method: 'POST',
    path: '/me/second-factors/passkeys',
    summary: 'Adds a passkey that the browser made',
    permission: 'enrol',
    tag: 'me',
    body: z.strictObject({ ...passkeyAnswer, name: field.label }),
    result: passkey,
    status: 201,
  }),
  renamePasskey: route({
    id: 'renamePasskey',
    method: 'PATCH',
    path: '/me/second-factors/passkeys/{passkeyId}',
    summary: 'Gives a passkey another name',
    permission: 'self',
    tag: 'me',
    params: z.strictObject({ passkeyId: field.id }),
    body: z.strictObject({ name: field.label }),
    result: passkey,
  }),
  removePasskey: route({
    id: 'removePasskey',
    method: 'DELETE',
    path: '/me/second-factors/passkeys/{passkeyId}',
    summary: 'Forgets a passkey',
    permission: 'self',
    stepUp: true,
    tag: 'me',
    params: z.strictObject({ passkeyId: field.id }),
  }),
  resetUserSecondFactors: route({
    id: 'resetUserSecondFactors',
    method: 'DELETE',
    path: '/users/{userId}/second-factors',
    summary: "Forgets a user's second factors, for who lost them, and ends their sessions",
    permission: 'users:write',
    stepUp: true,
    tag: 'users',
    params: z.strictObject({ userId: reference }),
    command: {
      name: 'user reset-second-factors',
      positional: ['userId'],
      examples: ['sallyport user reset-second-factors alice'],
    },
  }),

  listIdentityProviders: route({
    id: 'listIdentityProviders',
    method: 'GET',
    path: '/identity-providers',
    summary: 'The identity providers (OpenID Connect), by name',
    permission: 'settings:read',
    tag: 'identity providers',
    result: field.page(identityProvider),
    command: {
      name: 'identity-provider list',
      examples: ['sallyport identity-provider list'],
      columns: ['id', 'name', 'issuer', 'enabled', 'createUsers'],
    },
  }),
  createIdentityProvider: route({
    id: 'createIdentityProvider',
    method: 'POST',
    path: '/identity-providers',
    summary: 'Adds an identity provider, by which people can log in from then on',
    permission: 'settings:write',
    stepUp: true,
    tag: 'identity providers',
    body: z.strictObject({
      ...z.strictObject(providerFields).partial().shape,
      name: providerFields.name,
      issuer: providerFields.issuer,
      clientId: providerFields.clientId,
    }),
    result: identityProvider,
    status: 201,
    versioned: true,
    command: {
      name: 'identity-provider create',
      positional: ['name'],
      examples: [
        'sallyport identity-provider create Company --issuer https://login.example.com --client-id sallyport --create-users true',
      ],
    },
  }),
  getIdentityProvider: route({
    id: 'getIdentityProvider',
    method: 'GET',
    path: '/identity-providers/{providerId}',
    summary: 'One identity provider',
    permission: 'settings:read',
    tag: 'identity providers',
    params: providerParams,
    result: identityProvider,
    versioned: true,
    command: {
      name: 'identity-provider show',
      positional: ['providerId'],
      examples: ['sallyport identity-provider show Company'],
    },
  }),
  updateIdentityProvider: route({
    id: 'updateIdentityProvider',
    method: 'PATCH',
    path: '/identity-providers/{providerId}',
    summary: 'Changes an identity provider',
    permission: 'settings:write',
    stepUp: true,
    tag: 'identity providers',
    params: providerParams,
    body: z.strictObject(providerFields).partial(),
    result: identityProvider,
    versioned: true,
    command: {
      name: 'identity-provider update',
      positional: ['providerId'],
      examples: ['sallyport identity-provider update Company --enabled false'],
    },
  }),
  deleteIdentityProvider: route({
    id: 'deleteIdentityProvider',
    method: 'DELETE',
    path: '/identity-providers/{providerId}',
    summary: 'Removes an identity provider and ends the sessions that came by it; its users stay',
    permission: 'settings:write',
    stepUp: true,
    tag: 'identity providers',
    params: providerParams,
    versioned: true,
    command: {
      name: 'identity-provider delete',
      positional: ['providerId'],
      examples: ['sallyport identity-provider delete Company'],
    },
  }),
  checkIdentityProvider: route({
    id: 'checkIdentityProvider',
    method: 'POST',
    path: '/identity-providers/{providerId}/check',
    summary: 'Asks an identity provider for its configuration and keys, and says what is wrong',
    permission: 'settings:write',
    tag: 'identity providers',
    params: providerParams,
    result: identityProviderCheck,
    command: {
      name: 'identity-provider check',
      positional: ['providerId'],
      examples: ['sallyport identity-provider check Company'],
    },
  }),

  listScimClients: route({
    id: 'listScimClients',
    method: 'GET',
    path: '/scim-clients',
    summary: 'Who may keep users and groups here by SCIM 2.0, by name',
    permission: 'settings:read',
    tag: 'identity providers',
    result: field.page(scimClient),
    command: {
      name: 'scim-client list',
      examples: ['sallyport scim-client list'],
      columns: ['id', 'name', 'userCount', 'groupCount', 'lastUsedAt'],
    },
  }),
  createScimClient: route({
    id: 'createScimClient',
    method: 'POST',
    path: '/scim-clients',
    summary: 'Lets an identity provider keep users and groups here by SCIM 2.0',
    permission: 'settings:write',
    stepUp: true,
    tag: 'identity providers',
    body: z.strictObject({ name: field.label }),
    result: newScimClient,
    status: 201,
    command: { name: 'scim-client create', positional: ['name'], examples: ['sallyport scim-client create Company'] },
  }),
  deleteScimClient: route({
    id: 'deleteScimClient',
    method: 'DELETE',
    path: '/scim-clients/{scimClientId}',
    summary: 'Takes the right away; the users and groups that it kept stay, and are kept here from then on',
    permission: 'settings:write',
    stepUp: true,
    tag: 'identity providers',
    params: z.strictObject({ scimClientId: field.id }),
    command: {
      name: 'scim-client delete',
      positional: ['scimClientId'],
      examples: ['sallyport scim-client delete 0d2f7a3c-1f0e-4c59-9d7e-6a3f4b1c2d5e'],
    },
  }),
} as const;

export type SignInMethods = z.infer<typeof signInMethods>;
export type Passkey = z.infer<typeof passkey>;
export type PasskeyRequest = z.infer<typeof passkeyRequest>;
export type SecondFactors = z.infer<typeof secondFactors>;
export type NewTotp = z.infer<typeof newTotp>;
export type StepUpOptions = z.infer<typeof stepUpOptions>;
export type IdentityProvider = z.infer<typeof identityProvider>;
export type IdentityProviderCheck = z.infer<typeof identityProviderCheck>;
export type ScimClient = z.infer<typeof scimClient>;
export type NewScimClient = z.infer<typeof newScimClient>;

/** Why a login by an identity provider did not work: what `/login?problem=…` says to the page. */
export const LOGIN_PROBLEMS = [
  /** It took too long, was begun in another browser, or is over already. */
  'expired',
  /** The answer is not the one to what was asked, or is faulty. */
  'mismatch',
  /** The provider said no. */
  'providerRefused',
  /** The provider gave no answer that could be used. */
  'providerUnreachable',
  /** There is no such provider, or it is switched off. */
  'providerDisabled',
  /** The provider knows the person, and nobody here is them. */
  'notAllowed',
  /** The account is disabled or has expired. */
  'disabled',
  /** To prove that it is them, somebody else logged in, or by another provider than the session's. */
  'otherUser',
  /** The session that was to be proved has ended. */
  'sessionEnded',
  'tooManyRequests',
  /** Without TLS, browsers log in on the machine of the service only. */
  'insecure',
  /** The service can't do it now. */
  'unavailable',
  'internal',
] as const;

export type LoginProblem = (typeof LOGIN_PROBLEMS)[number];
