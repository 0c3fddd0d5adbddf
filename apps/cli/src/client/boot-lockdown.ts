/** What blocks between the boot's first moment and the daemon's: before there is a network, and without one. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  CLIENT_STATE_FOLDER,
  clientSettings,
  initialState,
  rulesetOf,
  step,
  type FirewallPolicy,
} from '@sallyport/client';
import { CommandRunner, Nft } from '@sallyport/io';
import { z } from 'zod';
import { tell } from '../command.ts';

const intent = z.strictObject({ target: z.string(), via: z.string().nullable() }).nullable();

/** Puts the rules in force that the daemon would begin with. Answers whether there is something to block. */
export async function lockDownAtBoot(folder: string = CLIENT_STATE_FOLDER): Promise<boolean> {
  const policy = bootPolicy((name) => readIfThere(join(folder, name)));
  if (policy === 'open') return false;
  await new Nft(new CommandRunner(() => undefined)).apply(rulesetOf(policy));
  return true;
}

/**
 * What the daemon's own machine begins with where there is no network yet; `open`: neither lockdown, nor a tunnel with
 * kill switch that was wanted when the machine went down. What can't be read may have said lockdown, so it blocks.
 */
export function bootPolicy(read: (name: string) => string | undefined): FirewallPolicy | 'open' {
  const settings = parse(read('settings.json') ?? '{}', clientSettings);
  if (settings === undefined) tell('the client’s settings are damaged: everything is blocked until the daemon runs');
  const wanted = parse(read('intent.json') ?? 'null', intent) ?? undefined;
  const isLoggedIn = read('account.json') !== undefined;
  const state = initialState(0, {
    settings: settings ?? clientSettings.parse({ lockdown: true }),
    account: isLoggedIn ? { controlAddresses: [], controlPort: 443 } : undefined,
    intent: wanted,
  });
  const network = { id: '', ipv4: false, ipv6: false, onLink: [], mtu: 1500 };
  return step(state, { kind: 'network', network }, 0, () => 0).state.desired.firewall;
}

function parse<T>(text: string, form: z.ZodType<T>): T | undefined {
  try {
    const parsed = form.safeParse(JSON.parse(text));
    return parsed.success ? parsed.data : undefined;
  } catch {
    return undefined;
  }
}

function readIfThere(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    // Anything but that it is not there is a fault, which is taken for one.
    return (error as NodeJS.ErrnoException).code === 'ENOENT' ? undefined : '';
  }
}
