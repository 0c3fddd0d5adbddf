import type { JSX } from 'preact';
import { t } from '../../strings/index.ts';
import { TextField } from '../../ui/form.tsx';

interface RegionFieldsProps {
  readonly name: string;
  readonly onName: (name: string) => void;
  readonly id: string;
  readonly onId: (id: string) => void;
  readonly autofocus?: boolean;
}

/** What makes a region. */
export function RegionFields({ name, onName, id, onId, autofocus = false }: RegionFieldsProps): JSX.Element {
  return (
    <>
      <TextField
        name="name"
        label={t.network.regionName}
        hint={t.network.regionNameHint}
        value={name}
        onChange={onName}
        required
        autofocus={autofocus}
      />
      <TextField
        name="id"
        label={t.network.regionId}
        hint={t.network.regionIdHint}
        value={id}
        onChange={onId}
        required
      />
    </>
  );
}
