import type { Device, OfferedGateway } from '@sallyport/api';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { may } from '../../api/session.ts';
import { t } from '../../strings/index.ts';
import { LinkButton } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { useFocus } from '../../ui/focus.ts';
import { Form, SelectField, TextField } from '../../ui/form.tsx';
import { Loaded } from '../../ui/page.tsx';
import { suggestName } from './configuration.ts';
import { ConnectDevice } from './connect-device.tsx';
import { gatewayOptions, profileGatewayOptions } from './gateways.ts';
import { makeKeyPair, type KeyPair } from './key-pair.ts';
import { makeProfileKeys } from './openvpn.ts';
import '../../styles/account.css';

const text = t.account.add;

const LOGINS = ['certificate', 'password', 'web'] as const;
type Login = (typeof LOGINS)[number];

interface Added {
  readonly device: Device;
  /** Empty for an OpenVPN profile that names all of them. */
  readonly gateway: string;
  /** As the device's protocol writes it; undefined where the keys were made elsewhere. */
  readonly privateKey: string | undefined;
}

/** Adds a device of one's own: its name, its keys, then its configuration, this once. */
export function AddDevice({
  names,
  onClose,
}: {
  /** Of the devices that there are. */
  readonly names: readonly string[];
  readonly onClose: () => void;
}): JSX.Element {
  const [added, setAdded] = useState<Added | undefined>(undefined);
  const gateways = useQuery('listMyGateways');
  if (added !== undefined) return <ConnectDevice {...added} gateways={gateways.data?.items ?? []} onClose={onClose} />;
  return (
    <Dialog title={text.title} onClose={onClose}>
      <Loaded query={gateways}>
        {({ items }) =>
          items.length === 0 ? (
            <NoGateway />
          ) : (
            <NewDevice names={names} gateways={items} onCancel={onClose} onAdded={setAdded} />
          )
        }
      </Loaded>
    </Dialog>
  );
}

function NoGateway(): JSX.Element {
  const administers = may('policy:write');
  return (
    <>
      <h3>{text.noGateway}</h3>
      <p>{administers ? text.noGatewayAdministrator : text.noGatewayText}</p>
      {administers && (
        <div class="buttons">
          <LinkButton href="/policy">{text.toPolicy}</LinkButton>
          <LinkButton href="/gateways">{text.toGateways}</LinkButton>
        </div>
      )}
    </>
  );
}

function NewDevice({
  names,
  gateways,
  onCancel,
  onAdded,
}: {
  readonly names: readonly string[];
  readonly gateways: readonly OfferedGateway[];
  readonly onCancel: () => void;
  readonly onAdded: (added: Added) => void;
}): JSX.Element {
  const isPhone = matchMedia('(pointer: coarse) and (hover: none)').matches;
  const [name, setName] = useState(() => suggestName(isPhone ? text.kinds.phone : text.kinds.computer, names));
  const openVpnGateways = gateways.filter(({ openvpn }) => openvpn);
  const [protocol, setProtocol] = useState<Device['protocol']>('wireguard');
  const isOpenVpn = protocol === 'openvpn';
  const offered = isOpenVpn ? openVpnGateways : gateways;
  const [chosen, setGateway] = useState('');
  const gateway = offered.some((one) => one.name === chosen) ? chosen : isOpenVpn ? '' : (offered[0]?.name ?? '');
  const factors = useQuery('getMySecondFactors', {}, { enabled: isOpenVpn });
  // Who logs in by a provider or a passkey alone has no password that the device could ask for.
  const logins = LOGINS.filter((one) => one !== 'password' || factors.data?.hasPassword !== false);
  const [login, setLogin] = useState<Login>('certificate');
  const [hasOwnKey, setHasOwnKey] = useState(false);
  const [publicKey, setPublicKey] = useState('');
  // Undefined until it is made, null where the browser can't. Made beforehand, so that the form can say so.
  const [keys, setKeys] = useState<KeyPair | null | undefined>(undefined);
  useEffect(() => {
    makeKeyPair().then(
      (pair) => setKeys(pair ?? null),
      () => setKeys(null),
    );
  }, []);
  // It may come after its dialog.
  const form = useFocus<HTMLDivElement>();
  const ownKey = !isOpenVpn && (hasOwnKey || keys === null);
  const addProfile = async (): Promise<void> => {
    const made = await makeProfileKeys();
    if (made === undefined) throw new Error(text.noKeysOpenVpn);
    const device = await call('addMyOpenVpnDevice', { body: { name, login, publicKey: made.publicKey } });
    onAdded({ device, gateway, privateKey: made.privateKey });
    changed('device');
  };
  const add = async (): Promise<void> => {
    if (isOpenVpn) return addProfile();
    const made = ownKey ? undefined : (keys ?? undefined);
    const device = await call('addMyDevice', { body: { name, publicKey: made?.publicKey ?? publicKey.trim() } });
    onAdded({ device, gateway, privateKey: made?.privateKey });
    changed('device');
  };
  return (
    <div ref={form}>
      <Form submit={text.submit} onSubmit={add} onCancel={onCancel} disabled={keys === undefined}>
        <TextField
          name="name"
          label={text.name}
          hint={text.nameHint}
          value={name}
          onChange={setName}
          required
          autofocus
        />
        {openVpnGateways.length > 0 && (
          <RadioCards
            legend={text.app}
            name="protocol"
            value={protocol}
            onChange={setProtocol}
            options={[
              ['wireguard', text.wireguard, text.wireguardHint],
              ['openvpn', text.openvpn, text.openvpnHint],
            ]}
          />
        )}
        {offered.length > 1 && (
          <SelectField
            name="gateway"
            label={text.gateway}
            hint={!isOpenVpn ? text.gatewayHint : gateway === '' ? text.allGatewaysHint : text.oneGatewayHint}
            value={gateway}
            onChange={setGateway}
            options={isOpenVpn ? profileGatewayOptions(offered) : gatewayOptions(offered)}
          />
        )}
        {isOpenVpn && (
          <SelectField
            name="login"
            label={text.login}
            hint={text.loginHints[login]}
            value={login}
            onChange={(value) => setLogin(value as Login)}
            options={logins.map((value) => ({ value, label: text.logins[value] }))}
          />
        )}
        {!isOpenVpn && keys === null && <p class="notice">{text.noKeys}</p>}
        {!isOpenVpn && keys !== null && (
          <RadioCards
            legend={text.key}
            name="keys"
            value={hasOwnKey}
            onChange={setHasOwnKey}
            options={[
              [false, text.makeKey, text.makeKeyHint],
              [true, text.ownKey, text.ownKeyHint],
            ]}
          />
        )}
        {ownKey && (
          <TextField
            name="publicKey"
            label={text.publicKey}
            hint={text.publicKeyHint}
            value={publicKey}
            onChange={setPublicKey}
            required
          />
        )}
      </Form>
    </div>
  );
}

/** One of a few, each with a line about it. */
function RadioCards<T extends string | boolean>({
  legend,
  name,
  value,
  onChange,
  options,
}: {
  readonly legend: string;
  readonly name: string;
  readonly value: T;
  readonly onChange: (value: T) => void;
  readonly options: readonly (readonly [value: T, label: string, hint: string])[];
}): JSX.Element {
  return (
    <fieldset class="radio-cards">
      <legend>{legend}</legend>
      {options.map(([option, label, hint]) => (
        <label key={label}>
          <input type="radio" name={name} checked={value === option} onChange={() => onChange(option)} />
          <span>{label}</span>
          <span class="hint">{hint}</span>
        </label>
      ))}
    </fieldset>
  );
}
