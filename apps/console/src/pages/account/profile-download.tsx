import type { Device } from '@sallyport/api';
import type { JSX } from 'preact';
import { t } from '../../strings/index.ts';
import { Button } from '../../ui/button.tsx';
import { downloadText } from '../../ui/download.ts';
import { useFocus } from '../../ui/focus.ts';
import { configurationFileName } from './configuration.ts';
import { profileType, withProfileKey } from './openvpn.ts';

const text = t.account.add;

/** A profile, with its private key where that was made just now, and what to do with it. */
export function ProfileDownload({
  device: { name, openvpn },
  profile,
  privateKey,
  onTaken,
}: {
  readonly device: Device;
  readonly profile: string;
  readonly privateKey: string | undefined;
  readonly onTaken: () => void;
}): JSX.Element {
  const byWeb = openvpn?.login === 'web';
  const fileName = configurationFileName(name, 'ovpn');
  // It comes after its dialog.
  const focus = useFocus<HTMLDivElement>();
  return (
    <>
      {text.openvpnPlatforms.map(([platform, how]) => (
        <div key={platform}>
          <h3>{platform}</h3>
          <p>{how}</p>
        </div>
      ))}
      <h3>{text.linux}</h3>
      <p>{byWeb ? text.openvpnWebLinuxText : text.openvpnLinuxText}</p>
      <p>
        <code>{byWeb ? text.openvpnWebCommand(fileName) : text.openvpnCommand(fileName)}</code>
      </p>
      <div class="buttons" ref={focus}>
        <Button
          autofocus
          onClick={() => {
            const whole = privateKey === undefined ? profile : withProfileKey(profile, privateKey);
            downloadText(fileName, profileType, whole);
            onTaken();
          }}
        >
          {text.download(fileName)}
        </Button>
      </div>
      {privateKey !== undefined && <p class="reassurance">{text.once}</p>}
    </>
  );
}
