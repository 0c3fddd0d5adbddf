/** Time, handed in so that tests can let it pass. */
export interface Clock {
  /** Unix milliseconds. */
  now(): number;
  /** Runs `task` once, `milliseconds` from now, unless the answered function is called before. */
  after(milliseconds: number, task: () => void): () => void;
}

/** The longest time that a timer takes (2³¹ milliseconds), and less. */
const LONGEST_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  after(milliseconds, task) {
    const timer = setTimeout(task, Math.min(Math.max(0, milliseconds), LONGEST_MS));
    return () => {
      clearTimeout(timer);
    };
  },
};
