/** Every text of the console, by the part that shows it. A translation is another folder with the same shape. */
import { common } from './en/common.ts';
import { shell } from './en/shell.ts';
import { signIn } from './en/sign-in.ts';
import { account } from './en/account.ts';
import { people } from './en/people.ts';
import { network } from './en/network.ts';
import { access } from './en/access.ts';
import { service } from './en/service.ts';

export const t = { common, shell, signIn, account, people, network, access, service } as const;
