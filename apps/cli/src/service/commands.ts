import { allRoutes } from '@sallyport/api';
import type { Command } from '../command.ts';
import { serviceCommand } from './service-command.ts';

/** The commands that the API's routes offer. */
export function serviceCommands(): { readonly name: string; readonly load: () => Promise<Command> }[] {
  return allRoutes.flatMap((contract) =>
    contract.command === undefined
      ? []
      : [{ name: contract.command.name, load: () => Promise.resolve(serviceCommand(contract, allRoutes)) }],
  );
}
