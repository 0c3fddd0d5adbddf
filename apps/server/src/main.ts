/** `npm start`: the command `sallyport server` without the rest of the command line's programs. */
import { serverCommand } from './commands/server.ts';

process.exitCode = await serverCommand(process.argv.slice(2));
