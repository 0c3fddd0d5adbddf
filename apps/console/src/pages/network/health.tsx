/** How gateways fare, in words, colours and shapes. */
import type { Gateway, Overview } from '@sallyport/api';
import type { JSX } from 'preact';
import { t } from '../../strings/index.ts';
import { Badge } from '../../ui/parts.tsx';

export type Health = Gateway['health'];

/** The worst first. */
export const healths: readonly Health[] = ['unreachable', 'degraded', 'neverConnected', 'healthy'];

const tones = { healthy: 'good', degraded: 'warn', unreachable: 'bad', neverConnected: 'neutral' } as const;

export function HealthBadge({
  health,
  draining,
}: {
  readonly health: Health;
  readonly draining: boolean;
}): JSX.Element {
  return (
    <>
      <Badge tone={tones[health]}>{t.network.health[health]}</Badge>
      {draining && (
        <>
          {' '}
          <Badge tone="warn">{t.network.draining}</Badge>
        </>
      )}
    </>
  );
}

/** A mark around 0, 0 that differs in shape as well as in colour. */
export function HealthMark({ health, size }: { readonly health: Health; readonly size: number }): JSX.Element {
  const className = `shape ${health}`;
  switch (health) {
    case 'healthy':
      return <circle class={className} r={size} />;
    case 'degraded':
      return <path class={className} d={`M0 ${-1.2 * size}L${1.2 * size} ${size}H${-1.2 * size}z`} />;
    case 'unreachable':
      return <rect class={className} x={-size} y={-size} width={2 * size} height={2 * size} />;
    case 'neverConnected':
      return <path class={className} d={`M0 ${-1.3 * size}L${1.3 * size} 0L0 ${1.3 * size}L${-1.3 * size} 0z`} />;
  }
}

export type GatewayName = Overview['gatewayNames'][number];
