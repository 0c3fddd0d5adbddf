/** Prints a new identity of a carrier, as JSON; the arguments are the names and addresses that its certificate is for. */
import { randomBytes } from 'node:crypto';
import { makeSelfSigned } from '@sallyport/control';

const { chain, key } = makeSelfSigned(process.argv.slice(2), Date.now());
const path = `/${randomBytes(24).toString('base64url')}`;
process.stdout.write(JSON.stringify({ path, chain, key: key.reveal() }));
