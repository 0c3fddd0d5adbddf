/** The client's settings as people name and write them. */
import { clientSettings, TRANSPORTS, type ClientSettings } from '@sallyport/client';
import { suggest } from '@sallyport/core';
import { CommandFailure, EXIT_USAGE } from '../command.ts';

type Value = string | number | boolean | null | readonly string[];

interface SettingKey {
  /** `split.mode`. */
  readonly key: string;
  /** Its place in the settings. */
  readonly path: readonly [keyof ClientSettings, string?];
  readonly kind: 'switch' | 'text' | 'textOrNone' | 'number' | 'list';
  /** How a value is written. */
  readonly form: string;
  readonly explanation: string;
}

const onOff = 'on|off';

export const SETTING_KEYS: readonly SettingKey[] = [
  {
    key: 'kill-switch',
    path: ['killSwitch'],
    kind: 'switch',
    form: onOff,
    explanation: 'From "connect" on nothing leaves this machine but to the gateway, also while the connection is lost.',
  },
  {
    key: 'lockdown',
    path: ['lockdown'],
    kind: 'switch',
    form: onOff,
    explanation:
      'Nothing leaves this machine without a tunnel: before the first connection, after "disconnect", from boot.',
  },
  {
    key: 'allow-local-network',
    path: ['allowLocalNetwork'],
    kind: 'switch',
    form: onOff,
    explanation:
      'Private addresses of the network that this machine is in (printers, shares) are reached beside the tunnel.',
  },
  {
    key: 'allow-dhcp',
    path: ['allowDhcp'],
    kind: 'switch',
    form: onOff,
    explanation: 'This machine may ask its network for an address, which most networks need.',
  },
  {
    key: 'target',
    path: ['target'],
    kind: 'text',
    form: 'REGION|GATEWAY|fastest',
    explanation: 'Where "connect" goes without an argument.',
  },
  {
    key: 'via',
    path: ['via'],
    kind: 'textOrNone',
    form: 'GATEWAY|none',
    explanation: 'Enter at this gateway and leave at the target: two hops.',
  },
  {
    key: 'auto-connect',
    path: ['autoConnect'],
    kind: 'switch',
    form: onOff,
    explanation: 'Connect when the daemon starts, so at boot.',
  },
  {
    key: 'transport',
    path: ['transport'],
    kind: 'text',
    form: ['auto', ...TRANSPORTS].join('|'),
    explanation: 'How datagrams reach the gateway; "auto" tries one after the other until one gets through.',
  },
  {
    key: 'post-quantum',
    path: ['postQuantum'],
    kind: 'switch',
    form: onOff,
    explanation:
      'Agree an additional key with ML-KEM-768, against whoever records now and has a quantum computer later.',
  },
  {
    key: 'dns-servers',
    path: ['dnsServers'],
    kind: 'list',
    form: 'ADDRESS,...|none',
    explanation: 'Name servers, asked through the tunnel; "none": those that the service names.',
  },
  {
    key: 'split.mode',
    path: ['split', 'mode'],
    kind: 'text',
    form: 'off|exclude|include',
    explanation:
      '"exclude": all but the networks of "split.networks" goes through the tunnel; "include": only those do.',
  },
  {
    key: 'split.networks',
    path: ['split', 'networks'],
    kind: 'list',
    form: 'PREFIX,...|none',
    explanation: 'The networks that "split.mode" is about.',
  },
  {
    key: 'advertise',
    path: ['advertise'],
    kind: 'list',
    form: 'PREFIX,...|none',
    explanation: 'Networks behind this machine that it offers to others; an administrator approves them.',
  },
  {
    key: 'mtu',
    path: ['mtu'],
    kind: 'number',
    form: 'BYTES|none',
    explanation: 'Of the tunnel’s interface; "none": what is found by probing.',
  },
];

/** Throws a CommandFailure where there is none of that name. */
export function settingKey(key: string): SettingKey {
  const names = SETTING_KEYS.map((known) => known.key);
  const found = SETTING_KEYS.find((known) => known.key === key.toLowerCase());
  if (found !== undefined) return found;
  const meant = suggest(key, names);
  throw new CommandFailure(
    EXIT_USAGE,
    `there is no setting "${key}"; ${meant === undefined ? `there are ${names.join(', ')}` : `did you mean ${meant}?`}`,
  );
}

export function valueOf(settings: ClientSettings, { path: [name, inner] }: SettingKey): Value {
  const value: unknown = settings[name];
  return (inner === undefined ? value : (value as Record<string, Value>)[inner]) as Value;
}

/** As it can be typed again. */
export function showValue(value: Value): string {
  if (typeof value === 'boolean') return value ? 'on' : 'off';
  if (value === null || (Array.isArray(value) && value.length === 0)) return 'none';
  return Array.isArray(value) ? value.join(',') : String(value);
}

const words: Readonly<Record<string, boolean>> = {
  on: true,
  yes: true,
  true: true,
  off: false,
  no: false,
  false: false,
};

/** The settings with one of them changed, checked. Throws a CommandFailure. */
export function withSetting(settings: ClientSettings, setting: SettingKey, text: string): ClientSettings {
  const { key, form, path } = setting;
  const value = readValue(setting, text);
  const [name, inner] = path;
  const changed = {
    ...settings,
    [name]: inner === undefined ? value : { ...(settings[name] as object), [inner]: value },
  };
  const checked = clientSettings.safeParse(changed);
  if (checked.success) return checked.data;
  const [issue] = checked.error.issues;
  throw new CommandFailure(
    EXIT_USAGE,
    `${key}: "${text}" is not what it takes (${issue?.message ?? ''}); write ${form}`,
  );
}

function readValue({ key, kind, form }: SettingKey, text: string): unknown {
  const typed = text.trim();
  const isNone = typed === 'none' || typed === '';
  switch (kind) {
    case 'switch': {
      const value = words[typed.toLowerCase()];
      if (value === undefined) throw new CommandFailure(EXIT_USAGE, `${key}: "${text}" is neither on nor off`);
      return value;
    }
    case 'number': {
      if (isNone) return null;
      if (!/^\d{1,9}$/.test(typed))
        throw new CommandFailure(EXIT_USAGE, `${key}: "${text}" is no number; write ${form}`);
      return Number(typed);
    }
    case 'textOrNone':
      return isNone ? null : typed;
    case 'list': {
      const items = isNone ? [] : typed.split(',').map((item) => item.trim());
      return [...new Set(items.filter((item) => item !== ''))];
    }
    case 'text':
      return key === 'target' && isNone ? 'fastest' : typed;
  }
}
