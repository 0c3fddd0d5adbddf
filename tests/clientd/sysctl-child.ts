/** Applies kernel settings as the daemon does, in the network namespace that it was started in, and ends without giving them back. */
import { CommandRunner, Sysctl } from '@sallyport/io';
import { SavedSysctls } from '@sallyport/clientd';

const [file = '', settings = '{}'] = process.argv.slice(2);
const saved = new SavedSysctls(new Sysctl(new CommandRunner(() => undefined)), file);
await saved.apply(JSON.parse(settings) as Record<string, string>);
