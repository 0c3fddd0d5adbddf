/**
 * Changes something by the API and tells when: timed-change.ts CREDENTIALS-FILE user USER JSON-BODY, or
 * timed-change.ts CREDENTIALS-FILE removal DEVICE-ID, prints `{ "sentAt", "answeredAt" }`, Unix milliseconds. The command
 * line would add the time of its own start.
 */
import { readFileSync } from 'node:fs';
import { ApiClient, routes } from '@sallyport/api';

const [file = '', what, id = '', body = '{}'] = process.argv.slice(2);
const { url, token, fingerprint } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
const client = new ApiClient({ url: url ?? '', token, certificateSha256: fingerprint });
const change = what === 'removal' ? await removal() : await userChange();
const sentAt = Date.now();
await change();
process.stdout.write(JSON.stringify({ sentAt, answeredAt: Date.now() }));

async function userChange(): Promise<() => Promise<unknown>> {
  const params = { userId: id };
  const { version } = await client.call(routes.getUser, { params });
  return () => client.call(routes.updateUser, { params, body: JSON.parse(body) as object, ifMatch: version });
}

async function removal(): Promise<() => Promise<unknown>> {
  const params = { deviceId: id };
  const { version } = await client.call(routes.getDevice, { params });
  return () => client.call(routes.deleteDevice, { params, ifMatch: version });
}
