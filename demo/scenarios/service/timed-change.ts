/**
 * Changes a user by the API and tells when: timed-change.ts CREDENTIALS-FILE USER JSON-BODY prints
 * `{ "sentAt", "answeredAt" }`, Unix milliseconds. The command line would add the time of its own start.
 */
import { readFileSync } from 'node:fs';
import { ApiClient, routes } from '@sallyport/api';

const [file = '', userId = '', body = '{}'] = process.argv.slice(2);
const { url, token, fingerprint } = JSON.parse(readFileSync(file, 'utf8')) as Record<string, string>;
const client = new ApiClient({ url: url ?? '', token, certificateSha256: fingerprint });
const { version } = await client.call(routes.getUser, { params: { userId } });
const sentAt = Date.now();
await client.call(routes.updateUser, { params: { userId }, body: JSON.parse(body) as object, ifMatch: version });
process.stdout.write(JSON.stringify({ sentAt, answeredAt: Date.now() }));
