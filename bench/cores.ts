import { readFileSync } from 'node:fs';

/** Cores as `taskset --cpu-list` takes them. */
export interface Cores {
  readonly device: string;
  readonly generator: string;
}

/** The last core that this process may use for the device, and the others for whoever asks it. */
export function shareCores(): Cores {
  const allowed = /^Cpus_allowed_list:\s*(\S+)$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0';
  const cores = allowed.split(',').flatMap((range) => {
    const [first = 0, last = first] = range.split('-').map(Number);
    return Array.from({ length: last - first + 1 }, (_, core) => first + core);
  });
  const others = cores.slice(0, -1);
  return { device: String(cores.at(-1)), generator: (others.length === 0 ? cores : others).join(',') };
}
