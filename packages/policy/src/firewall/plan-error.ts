/** A firewall plan that can't be turned into rules. The firewall that is in place stays as it is. */
export class FirewallPlanError extends Error {
  /** `invalid`: something in it isn't what the plan's types promise. `tooLarge`: a group needs too many set elements. */
  readonly code: 'invalid' | 'tooLarge';

  constructor(code: FirewallPlanError['code'], message: string) {
    super(message);
    this.name = 'FirewallPlanError';
    this.code = code;
  }
}
