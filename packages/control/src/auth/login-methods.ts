/** How a user proved that it is them, as sessions keep it. */
export type LoginMethod = 'password' | 'code' | 'recoveryCode' | 'passkey' | 'provider';

const secondFactors: readonly string[] = ['code', 'recoveryCode', 'passkey'] satisfies LoginMethod[];

export function methodsOf(session: { readonly methods: string }): LoginMethod[] {
  return JSON.parse(session.methods) as LoginMethod[];
}

/** Whether one of them is a second factor; a passkey, which asks for a fingerprint or PIN itself, is both. */
export function hasSecondFactor(methods: readonly string[]): boolean {
  return methods.some((method) => secondFactors.includes(method));
}
