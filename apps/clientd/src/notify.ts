import { spawn } from 'node:child_process';

/** Tells systemd, where it started this and wants to know (sd_notify(3)). */
export function notifyServiceManager(state: '--ready' | '--stopping'): void {
  if (process.env['NOTIFY_SOCKET'] === undefined) return;
  // Where the program is missing the unit's own timeout tells.
  spawn('systemd-notify', [`--pid=${String(process.pid)}`, state], { stdio: 'ignore' }).on('error', () => undefined);
}
