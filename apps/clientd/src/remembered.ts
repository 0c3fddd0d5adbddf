import { automaticIntent, clientSettings, faultOfConfiguration, protecting, type Remembered } from '@sallyport/client';
import { messageOf } from './failure.ts';
import type { StateFolder } from './state-folder.ts';

/**
 * What the last daemon kept, but for the account. Throws where settings or wish are damaged: they say what protects. The
 * rest is convenience: what is damaged there is as if it were not there.
 */
export async function readRemembered(folder: StateFolder, onFault: (message: string) => void): Promise<Remembered> {
  const optional = async <T>(read: Promise<T>): Promise<T | 'damaged'> => {
    try {
      return await read;
    } catch (error) {
      onFault(messageOf(error));
      return 'damaged';
    }
  };
  const settings = (await folder.settings.read()) ?? clientSettings.parse({});
  const intent = (await folder.intent.read()) ?? undefined;
  const configuration = await optional(
    folder.configuration.read().then((read) => {
      const fault = read && faultOfConfiguration(read);
      if (fault !== undefined) throw new Error(`${folder.configuration.path}: ${fault}`);
      return read;
    }),
  );
  const good = await optional(folder.good.read());
  return {
    // An administrator's demand may have been in what can't be read.
    settings: configuration === 'damaged' ? protecting(settings) : settings,
    configuration: configuration === 'damaged' ? undefined : configuration,
    good: good === 'damaged' ? undefined : good?.map(({ mtu, ...path }) => ({ ...path, mtu })),
    intent: intent ?? automaticIntent(settings),
  };
}
