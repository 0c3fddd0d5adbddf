/** Who is logged in. */
import type { Me, Permission } from '@sallyport/api';
import { signal } from '@preact/signals';

/** Undefined until it is known; null where nobody is logged in. */
export const session = signal<Me | null | undefined>(undefined);

export function endSession(): void {
  session.value = null;
}

export function may(permission: Permission): boolean {
  return session.value?.permissions.includes(permission) ?? false;
}
