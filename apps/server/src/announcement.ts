import type { Configuration } from './config/schema.ts';

/** What there is to know about a server that is ready. */
export interface ServerFacts {
  readonly version: string;
  readonly startMilliseconds: number;
  readonly control: {
    readonly url: string;
    /** Where it listens: `0.0.0.0:443`. */
    readonly listen: readonly string[];
    /** SHA-256 of a self-signed certificate. */
    readonly fingerprint: string | null;
    /** While there is no administrator. Good for one use. */
    readonly setupUrl: string | null;
  } | null;
  readonly gateway: {
    readonly interface: string;
    readonly host: string;
    readonly port: number;
    readonly connected: boolean;
  } | null;
  readonly data: string;
  readonly processes: Readonly<Partial<Record<'supervisor' | 'control' | 'helper' | 'gateway', number>>>;
}

/** For people. */
export function announce(facts: ServerFacts, configuration: Configuration): string {
  const { control, gateway } = facts;
  const rows: [string, string][] = [];
  if (control !== null) {
    rows.push(['API', control.url]);
    if (control.fingerprint !== null) {
      rows.push(['', `self-signed certificate, SHA-256 ${control.fingerprint}`]);
    }
  }
  if (gateway !== null) {
    rows.push(['Gateway', `${gateway.host}, UDP port ${String(gateway.port)}, interface ${gateway.interface}`]);
    if (!gateway.connected) rows.push(['', 'its control plane is away; it serves what it last had, and tries again']);
  }
  rows.push(['Data', facts.data]);
  const width = Math.max(...rows.map(([name]) => name.length));
  const lines = [
    `Sallyport ${facts.version} is ready (${(facts.startMilliseconds / 1000).toFixed(1)} s).`,
    '',
    ...rows.map(([name, text]) => `  ${name.padEnd(width)}  ${text}`),
  ];
  if (control !== null && control.setupUrl !== null) {
    lines.push('', 'Create the first administrator, with this link, which works once:', '', `  ${control.setupUrl}`);
  }
  const self = control !== null && configuration.web.publicUrl === '';
  if (self) {
    lines.push('', 'If others reach this machine by another name, set public_url: sallyport config show --default');
  }
  return lines.join('\n');
}
