/** What blocks between the boot's first moment and the daemon's: before there is a network, and without one. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  automaticIntent,
  CLIENT_STATE_FOLDER,
  clientSettings,
  initialState,
  protecting,
  rulesetOf,
  step,
  type FirewallPolicy,
} from '@sallyport/client';
import { CommandRunner, Nft } from '@sallyport/io';
import { z } from 'zod';
import { tell } from '../command.ts';

const intentForm = z.strictObject({ target: z.string(), via: z.string().nullable() }).nullable();
/** Of what the control plane gave last, what counts here. */
const demands = z.object({ requirements: z.object({ killSwitch: z.boolean() }) });

/** Puts the rules in force that the daemon would begin with. Answers whether there is something to block. */
export async function lockDownAtBoot(folder: string = CLIENT_STATE_FOLDER): Promise<boolean> {
  const policy = bootPolicy((name) => readIfThere(join(folder, name)));
  if (policy === 'open') return false;
  await new Nft(new CommandRunner(() => undefined)).apply(rulesetOf(policy));
  return true;
}

/**
 * What the daemon's own machine begins with where there is no network yet; `open`: neither lockdown, nor a tunnel with
 * kill switch that is wanted again. What can't be read may have said so, and blocks.
 */
export function bootPolicy(read: (name: string) => string | undefined): FirewallPolicy | 'open' {
  const given = parse(read('settings.json') ?? '{}', clientSettings);
  const intent = parse(read('intent.json') ?? 'null', intentForm);
  const isDamaged = given === undefined || intent === undefined;
  if (isDamaged) tell('the client’s settings are damaged: everything is blocked until the daemon runs');
  const demanded = parse(read('configuration.json') ?? '{"requirements":{"killSwitch":false}}', demands);
  const settings = isDamaged ? clientSettings.parse({ lockdown: true }) : given;
  const isLoggedIn = read('account.json') !== undefined;
  const state = initialState(0, {
    settings: demanded?.requirements.killSwitch === false ? settings : protecting(settings),
    account: isLoggedIn ? { controlAddresses: [], controlPort: 443 } : undefined,
    intent: intent ?? automaticIntent(settings),
  });
  const network = { id: '', ipv4: false, ipv6: false, onLink: [], devices: [], mtu: 1500 };
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
