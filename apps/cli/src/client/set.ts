import type { ClientSettings } from '@sallyport/client';
import type { Command } from '../command.ts';
import { tell } from '../command.ts';
import { ask } from './daemon.ts';
import { SETTING_KEYS, settingKey, showValue, valueOf, withSetting } from './setting-keys.ts';
import { paint, printable, styleFor, wrap, type Style } from './terminal.ts';

const keyWidth = Math.max(...SETTING_KEYS.map(({ key }) => key.length));

export const set: Command = {
  name: 'set',
  usage: '[KEY [VALUE]] [--json]',
  summary: 'show or change the client’s settings',
  help: `Without arguments it shows all settings with what they mean; with a key its value; with a value it changes that. What is
changed is in force at once, also in a connection. Lists are written A,B,...; "none" empties.

Settings:
${SETTING_KEYS.map(({ key, form }) => `  ${key.padEnd(keyWidth)}  ${form}`).join('\n')}

Options:
  --json  print the settings as JSON

Examples:
  sallyport set
  sallyport set lockdown on
  sallyport set split.mode exclude
  sallyport set split.networks 10.0.0.0/8,192.0.2.0/24
  sallyport set dns-servers none`,
  options: ['json'],
  arguments: [0, 2],
  async run([key, value], options) {
    const json = options.has('json');
    const setting = key === undefined ? undefined : settingKey(key);
    const before = await ask('settings', {});
    if (setting === undefined) {
      print(before, json, () => settingsText(before, styleFor(process.stdout), process.stdout.columns ?? 100));
      return 0;
    }
    if (value === undefined) {
      print(valueOf(before, setting), json, () => printable(showValue(valueOf(before, setting))));
      return 0;
    }
    const after = await ask('set', withSetting(before, setting, value));
    if (json) print(after, json, () => '');
    else tell(`${setting.key} is ${printable(showValue(valueOf(after, setting)))}`);
    return 0;
  },
};

function print(value: unknown, json: boolean, text: () => string): void {
  process.stdout.write(`${json ? JSON.stringify(value, undefined, 2) : text()}\n`);
}

/** Every setting with its value and what it means. */
export function settingsText(settings: ClientSettings, style: Style, columns: number): string {
  const values = SETTING_KEYS.map((setting) => printable(showValue(valueOf(settings, setting))));
  const indent = ' '.repeat(4);
  return SETTING_KEYS.map(({ key, explanation }, i) =>
    [
      `${paint(key.padEnd(keyWidth), 'bold', style)}  ${values[i] ?? ''}`,
      ...wrap(explanation, Math.max(30, columns - indent.length - 1)).map((line) =>
        paint(indent + line, 'faint', style),
      ),
    ].join('\n'),
  ).join('\n');
}
