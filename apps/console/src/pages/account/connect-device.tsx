import type { Device, OfferedGateway } from '@sallyport/api';
import type { JSX } from 'preact';
import { useEffect, useState } from 'preact/hooks';
import { changed } from '../../api/changes.ts';
import { useQuery } from '../../api/query.ts';
import { t } from '../../strings/index.ts';
import { Button } from '../../ui/button.tsx';
import { ask, Dialog } from '../../ui/dialog.tsx';
import { downloadText } from '../../ui/download.ts';
import { useFocus } from '../../ui/focus.ts';
import { Loaded } from '../../ui/page.tsx';
import { CopyButton } from '../../ui/parts.tsx';
import { QrCode } from '../../ui/qr.tsx';
import { ProfileDownload } from './profile-download.tsx';
import { compact, configurationFileName, configurationType, withPrivateKey } from './configuration.ts';

const text = t.account.add;

/** How often the server is asked whether the device has come. */
const askMs = 2000;

/**
 * The configuration of a device that was just added, and whether it has connected. The private key is in this component's
 * property alone, and gone with it.
 */
export function ConnectDevice({
  device,
  gateway,
  privateKey,
  gateways,
  onClose,
}: {
  readonly device: Device;
  /** Empty for an OpenVPN profile that names all of them. */
  readonly gateway: string;
  readonly privateKey: string | undefined;
  readonly gateways: readonly OfferedGateway[];
  readonly onClose: () => void;
}): JSX.Element {
  const [taken, setTaken] = useState(false);
  const [connected, setConnected] = useState(false);
  const params = { deviceId: device.id };
  const isOpenVpn = device.protocol === 'openvpn';
  const configuration = useQuery(isOpenVpn ? 'getMyOpenVpnProfile' : 'getMyDeviceConfiguration', {
    params,
    query: gateway === '' ? {} : { gateway },
  });
  const { data: now = device } = useQuery(
    'getMyDevice',
    { params },
    { enabled: !connected, ...(connected ? {} : { refetchEvery: askMs }) },
  );
  if (!connected && now.lastHandshakeAt !== null) setConnected(true);
  useEffect(() => {
    // The list behind this dialog, too.
    if (connected) changed('device');
  }, [connected]);
  const leave = async (): Promise<void> => {
    const mayGo =
      taken ||
      connected ||
      privateKey === undefined ||
      (await ask(
        isOpenVpn
          ? { title: text.leaveProfileTitle, text: text.leaveProfileText, action: text.leave }
          : { title: text.leaveTitle, text: text.leaveText, action: text.leave },
      ));
    if (mayGo) onClose();
  };
  return (
    <Dialog title={text.ready(device.name)} onClose={() => void leave()} wide>
      {device.message !== '' && device.standing !== 'active' && <p class="notice">{device.message}</p>}
      <Loaded query={configuration}>
        {(data) =>
          isOpenVpn ? (
            <ProfileDownload device={device} profile={data} privateKey={privateKey} onTaken={() => setTaken(true)} />
          ) : (
            <Ways
              device={device}
              configuration={privateKey === undefined ? data : withPrivateKey(data, privateKey)}
              hasKey={privateKey !== undefined}
              onTaken={() => setTaken(true)}
            />
          )
        }
      </Loaded>
      <Connection
        name={device.name}
        connected={connected}
        gateway={gateways.find(({ id }) => id === now.gatewayId)?.name}
      />
      <div class="actions">
        <Button kind="primary" onClick={onClose}>
          {connected ? text.done : text.have}
        </Button>
      </div>
    </Dialog>
  );
}

function Ways({
  device: { name },
  configuration,
  hasKey,
  onTaken,
}: {
  readonly device: Device;
  readonly configuration: string;
  readonly hasKey: boolean;
  readonly onTaken: () => void;
}): JSX.Element {
  const fileName = configurationFileName(name);
  // It comes after its dialog.
  const focus = useFocus<HTMLDivElement>();
  const buttons = (
    <div class="buttons" ref={focus}>
      <Button
        autofocus
        onClick={() => {
          downloadText(fileName, configurationType, configuration);
          onTaken();
        }}
      >
        {text.download(fileName)}
      </Button>
      <span class="copy" onClick={onTaken}>
        <CopyButton text={configuration} label={text.copy} />
      </span>
    </div>
  );
  if (!hasKey) {
    return (
      <>
        <p>{text.ownKeyText}</p>
        <pre class="configuration" tabIndex={0}>
          {configuration}
        </pre>
        {buttons}
      </>
    );
  }
  return (
    <>
      <div class="two-sides">
        <QrCode text={compact(configuration)} label={text.qr(name)} />
        <div>
          {text.platforms.map(([platform, how]) => (
            <div key={platform}>
              <h3>{platform}</h3>
              <p>{how}</p>
            </div>
          ))}
          <h3>{text.linux}</h3>
          <p>
            {text.linuxText} <code>{text.linuxCommand(fileName)}</code>
          </p>
          {buttons}
        </div>
      </div>
      <p class="reassurance">{text.once}</p>
    </>
  );
}

/** Turns over as soon as the device has come. */
function Connection({
  name,
  connected,
  gateway,
}: {
  readonly name: string;
  readonly connected: boolean;
  readonly gateway: string | undefined;
}): JSX.Element {
  return (
    <div class={connected ? 'connection good' : 'connection'} role="status">
      {connected ? (
        <svg viewBox="0 0 24 24" aria-hidden="true">
          <path d="M4 13l5 5L20 7" fill="none" stroke="currentColor" stroke-width="3" stroke-linecap="round" />
        </svg>
      ) : (
        <span class="dot" />
      )}
      <span>
        {!connected
          ? text.waiting
          : gateway === undefined
            ? text.connected(name)
            : text.connectedThrough(name, gateway)}
      </span>
    </div>
  );
}
