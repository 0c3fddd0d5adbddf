import type { Device, OfferedGateway } from '@sallyport/api';
import type { JSX } from 'preact';
import { useState } from 'preact/hooks';
import { useQuery } from '../../api/query.ts';
import { t } from '../../strings/index.ts';
import { Button } from '../../ui/button.tsx';
import { Dialog } from '../../ui/dialog.tsx';
import { downloadText } from '../../ui/download.ts';
import { SelectField } from '../../ui/form.tsx';
import { Loaded } from '../../ui/page.tsx';
import { CopyButton } from '../../ui/parts.tsx';
import { configurationFileName, configurationType } from './configuration.ts';
import { gatewayOptions } from './gateways.ts';
import '../../styles/account.css';

const text = t.account;

/** The configuration of a device that is set up already, to be put together with the private key that only it has. */
export function ConfigurationDialog({
  title,
  devices,
  gateways,
  gateway: first,
  onClose,
}: {
  readonly title: string;
  /** At least one; which of them is the user's choice. */
  readonly devices: readonly Device[];
  readonly gateways: readonly OfferedGateway[];
  /** The one that is chosen at first; else the best. */
  readonly gateway?: string;
  readonly onClose: () => void;
}): JSX.Element {
  const [deviceId, setDeviceId] = useState(devices[0]?.id ?? '');
  const [gateway, setGateway] = useState(first ?? gateways[0]?.name ?? '');
  const configuration = useQuery(
    'getMyDeviceConfiguration',
    { params: { deviceId }, query: gateway === '' ? {} : { gateway } },
    { keepPrevious: true },
  );
  const fileName = configurationFileName(devices.find(({ id }) => id === deviceId)?.name ?? '');
  return (
    <Dialog title={title} onClose={onClose} wide>
      {devices.length > 1 && (
        <SelectField
          name="device"
          label={text.configuration.device}
          value={deviceId}
          onChange={setDeviceId}
          options={devices.map(({ id, name }) => ({ value: id, label: name }))}
        />
      )}
      {gateways.length > 0 && (
        <SelectField
          name="gateway"
          label={text.add.gateway}
          value={gateway}
          onChange={setGateway}
          options={gatewayOptions(gateways)}
        />
      )}
      <Loaded query={configuration}>
        {(data) => (
          <>
            <p>{text.configuration.keep}</p>
            <pre class="configuration" tabIndex={0}>
              {data}
            </pre>
            <div class="buttons">
              <CopyButton text={data} label={text.add.copy} />
              <Button small onClick={() => downloadText(fileName, configurationType, data)}>
                {text.add.download(fileName)}
              </Button>
            </div>
          </>
        )}
      </Loaded>
      <div class="actions">
        <Button kind="primary" onClick={onClose}>
          {t.common.close}
        </Button>
      </div>
    </Dialog>
  );
}
