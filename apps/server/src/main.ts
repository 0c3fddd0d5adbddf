/** `npm start`: the command `sallyport server` without the rest of the command line's programs. */
import { enableCompileCache } from 'node:module';
import { compileCacheFolder } from './compile-cache.ts';

const folder = compileCacheFolder();
if (folder !== undefined) enableCompileCache(folder);

const { serverCommand } = await import('./commands/server.ts');
process.exitCode = await serverCommand(process.argv.slice(2));
