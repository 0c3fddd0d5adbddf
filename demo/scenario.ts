import type { Laboratory, Program } from '@sallyport/netlab';
import type { Steps } from './steps.ts';

/** What a scenario works with. */
export interface Stage {
  readonly laboratory: Laboratory;
  /** The WireGuard device program. */
  readonly device: Program;
  readonly steps: Steps;
}

/** How a scenario ended. */
export interface Outcome {
  /** What was measured; printed as one JSON object with `--json`. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** The same facts for people. */
  readonly picture: string;
  /** What isn't as it must be; empty when all is well. */
  readonly faults: readonly string[];
}

/** Something that can be shown with `npm run demo -- NAME`. */
export interface Scenario {
  readonly name: string;
  readonly about: string;
  run(stage: Stage): Promise<Outcome>;
}
