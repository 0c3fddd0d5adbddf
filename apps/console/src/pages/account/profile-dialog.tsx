import type { Device, OfferedGateway } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { call } from '../../api/call.ts';
import { changed } from '../../api/changes.ts';
import { forget, useQuery } from '../../api/query.ts';
import { save } from '../../api/save.ts';
import { t } from '../../strings/index.ts';
import { useAction } from '../../ui/action.ts';
import { Button } from '../../ui/button.tsx';
import { ask, Dialog } from '../../ui/dialog.tsx';
import { SelectField } from '../../ui/form.tsx';
import { formatDate } from '../../ui/format.ts';
import { Loaded } from '../../ui/page.tsx';
import { profileGatewayOptions } from './gateways.ts';
import { makeProfileKeys } from './openvpn.ts';
import { ProfileDownload } from './profile-download.tsx';
import '../../styles/account.css';

const text = t.account.profile;

/** The profile of an OpenVPN device that is set up already: with a certificate only a new one, with a key made here. */
export function ProfileDialog({
  device: given,
  gateways,
  refetch,
  onClose,
}: {
  readonly device: Device;
  readonly gateways: readonly OfferedGateway[];
  readonly refetch: () => Promise<unknown>;
  readonly onClose: () => void;
}): JSX.Element {
  const offered = gateways.filter(({ openvpn }) => openvpn);
  const [gateway, setGateway] = useState('');
  const [made, setMade] = useState<{ readonly device: Device; readonly privateKey: string } | undefined>(undefined);
  const [taken, setTaken] = useState(false);
  const device = made?.device ?? given;
  const expiresAt = device.openvpn?.certificateExpiresAt ?? null;
  const { busy, run } = useAction();
  const ready = expiresAt === null || made !== undefined;
  const make = (): Promise<void> =>
    run(async () => {
      const keys = await makeProfileKeys();
      if (keys === undefined) throw new Error(t.account.add.noKeysOpenVpn);
      const result = await save(
        () =>
          call('renewMyCertificate', {
            params: { deviceId: device.id },
            body: { publicKey: keys.publicKey },
            ifMatch: device.version,
          }),
        refetch,
      );
      if (result === undefined) {
        onClose();
        return;
      }
      // With the certificate of before the new key is of no use.
      forget('getMyOpenVpnProfile');
      setMade({ device: result.saved, privateKey: keys.privateKey });
      changed('device');
    });
  const leave = async (): Promise<void> => {
    const { leaveProfileTitle: title, leaveProfileText, leave: action } = t.account.add;
    if (taken || made === undefined || (await ask({ title, text: leaveProfileText, action }))) onClose();
  };
  return (
    <Dialog title={t.account.devices.profileOf(device.name)} onClose={() => void leave()} wide>
      {device.message !== '' && device.standing !== 'active' && <p class="notice">{device.message}</p>}
      {offered.length > 1 && (
        <SelectField
          name="gateway"
          label={text.gateways}
          value={gateway}
          onChange={setGateway}
          options={profileGatewayOptions(offered)}
        />
      )}
      {expiresAt !== null && !ready && (
        <>
          <p>{text.expires(formatDate(expiresAt))}</p>
          <p>{text.intro}</p>
        </>
      )}
      {expiresAt === null && <p>{text.fetchIntro}</p>}
      {ready && (
        <Profile device={device} gateway={gateway} privateKey={made?.privateKey} onTaken={() => setTaken(true)} />
      )}
      <div class="actions">
        <Button onClick={() => void leave()}>{t.common.close}</Button>
        {!ready && (
          <Button kind="primary" busy={busy} onClick={make}>
            {text.make}
          </Button>
        )}
      </div>
    </Dialog>
  );
}

function Profile({
  device,
  gateway,
  privateKey,
  onTaken,
}: {
  readonly device: Device;
  /** Empty: all of them. */
  readonly gateway: string;
  readonly privateKey: string | undefined;
  readonly onTaken: () => void;
}): JSX.Element {
  const profile = useQuery(
    'getMyOpenVpnProfile',
    { params: { deviceId: device.id }, query: gateway === '' ? {} : { gateway } },
    { keepPrevious: true },
  );
  return (
    <Loaded query={profile}>
      {(data) => <ProfileDownload device={device} profile={data} privateKey={privateKey} onTaken={onTaken} />}
    </Loaded>
  );
}
