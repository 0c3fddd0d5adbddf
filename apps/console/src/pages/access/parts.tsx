/** Small things of the pages about access. */
import type { Resource } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { t } from '../../strings/index.ts';
import { ChoicesField } from '../../ui/form.tsx';

/** Choices that are more than can be looked over get a search. */
const MANY = 12;

/** Some of those that there are, by id. */
export function PickField({
  label,
  name,
  values,
  onChange,
  names,
  hint,
  empty,
}: {
  readonly label: string;
  readonly name: string;
  readonly values: readonly string[];
  readonly onChange: (values: string[]) => void;
  readonly names: ReadonlyMap<string, string>;
  readonly hint?: string;
  readonly empty?: string;
}): JSX.Element {
  const [search, setSearch] = useState('');
  const options = [...names]
    .filter(([id, text]) => values.includes(id) || text.includes(search.trim().toLowerCase()))
    .map(([value, text]) => ({ value, label: text }));
  return (
    <>
      {names.size > MANY && (
        <input
          type="search"
          class="search pick-search"
          aria-label={t.access.filterChoices(label)}
          placeholder={t.access.filterChoices(label)}
          value={search}
          onInput={({ currentTarget }) => setSearch(currentTarget.value)}
        />
      )}
      <ChoicesField
        label={label}
        name={name}
        values={values}
        onChange={onChange}
        options={options}
        {...(hint === undefined ? {} : { hint })}
        {...(empty === undefined ? {} : { empty })}
      />
    </>
  );
}

export const textOfService = ({ protocol, ports }: Resource['services'][number]): string =>
  ports.length === 0 ? t.access.protocols[protocol] : `${t.access.protocols[protocol]} ${ports.join(', ')}`;

export const textOfServices = (services: Resource['services']): string =>
  services.length === 0 ? t.access.everything : services.map(textOfService).join('; ');

const MAX_PREFIXES = 4;

export function textOfResource({ kind, prefixes, domain }: Pick<Resource, 'kind' | 'prefixes' | 'domain'>): string {
  if (kind === 'internet') return t.access.theInternet;
  if (kind === 'name') return domain ?? '';
  const more = prefixes.length - MAX_PREFIXES;
  return prefixes.slice(0, MAX_PREFIXES).join(', ') + (more > 0 ? ` ${t.access.andMore(more)}` : '');
}

/** `wiki.corp.example:443`, `[fd20::5]:22`, `10.0.0.1 (ICMP)`. */
export function textOfTarget({
  destination,
  protocol,
  port,
}: {
  readonly destination: string;
  readonly protocol: 'tcp' | 'udp' | 'icmp';
  readonly port: number | string | null;
}): string {
  if (protocol === 'icmp') return `${destination} (${t.access.protocols.icmp})`;
  const host = destination.includes(':') ? `[${destination}]` : destination;
  return `${host}:${port ?? ''}${protocol === 'udp' ? ` (${t.access.protocols.udp})` : ''}`;
}
