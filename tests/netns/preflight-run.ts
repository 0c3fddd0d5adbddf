/** Prints the preflight's results for the options in its argument. */
import { preflight } from '@sallyport/privileged';
import type { PreflightOptions } from '@sallyport/privileged';

process.stdout.write(JSON.stringify(await preflight(JSON.parse(process.argv[2] ?? '') as PreflightOptions)));
