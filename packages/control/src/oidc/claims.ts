/** What a provider says about a person (OpenID Connect Core 1.0, section 5.1), as far as it is of use here. */
import { routes } from '@sallyport/api';
import { secretShapes } from '../audit/canonical-json.ts';
import { LoginFault } from './login-fault.ts';

/** Of one person; what goes beyond does not count. */
const MAX_GROUPS = 500;
const maxGroupLength = 200;

export interface Claims {
  readonly subject: string;
  /** In lower case; only where the provider says that it verified it. */
  readonly verifiedEmail: string | undefined;
  /** As it is or was typed somewhere, for a name here to be made from. */
  readonly userName: string | undefined;
  readonly displayName: string;
  readonly groups: ReadonlySet<string>;
}

// What people may choose at the provider goes by the rules for what they choose here.
const { displayName: displayNameForm, email: emailForm } = routes.createUser.body!.shape;

/** @param said claims of the ID token and the userinfo endpoint. Throws a {@link LoginFault} where there is no good `sub`. */
export function readClaims(said: Readonly<Record<string, unknown>>, groupsClaim: string): Claims {
  const subject = textOf(said['sub']);
  // Section 2: at most 255 ASCII characters.
  if (subject === undefined || !/^[\x20-\x7e]{1,255}$/.test(subject)) {
    throw new LoginFault(
      'mismatch',
      'the provider names nobody: `sub` is missing or has characters that it may not have',
    );
  }
  const email = emailForm.safeParse(textOf(said['email'])).data?.toLowerCase();
  const displayName = displayNameForm.safeParse(textOf(said['name'])).data ?? '';
  const groups = Object.hasOwn(said, groupsClaim) ? said[groupsClaim] : [];
  return {
    subject,
    verifiedEmail: said['email_verified'] === true ? email : undefined,
    userName: textOf(said['preferred_username']) ?? email,
    displayName,
    groups: new Set(
      (Array.isArray(groups) ? (groups as unknown[]) : [groups])
        .slice(0, MAX_GROUPS)
        .map(textOf)
        .filter((group) => group !== undefined && group.length <= maxGroupLength) as string[],
    ),
  };
}

/** A text that databases take and that is no token in the wrong place. */
function textOf(value: unknown): string | undefined {
  if (typeof value !== 'string' || value.length > 1000) return undefined;
  return value.isWellFormed() && !value.includes('\0') && !secretShapes.test(value) ? value : undefined;
}
