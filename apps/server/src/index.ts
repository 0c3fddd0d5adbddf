/** What the command line mounts. Modules are loaded when a command is called. */
export { suggest } from './config/suggest.ts';
export { ConfigurationError } from './config/read.ts';
