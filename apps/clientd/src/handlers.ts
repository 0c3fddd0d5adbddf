/** What callers may ask of the daemon. */
import { readFileSync, statSync } from 'node:fs';
import { isIP } from 'node:net';
import { setImmediate as soon } from 'node:timers/promises';
import { ApiUnreachable, routes } from '@sallyport/api';
import { intentOf, means, NO_ENTRY, type ClientSettings, type ClientStatus, type State } from '@sallyport/client';
import { logIn, logOut } from './account/login.ts';
import type { ControlPlane } from './account/control-plane.ts';
import type { Daemon } from './daemon.ts';
import { examine } from './doctor/doctor.ts';
import { DaemonFailure, messageOf } from './failure.ts';
import { watchForLeaks, type Allowed } from './leak-watch.ts';
import { regionChoices } from './regions.ts';
import type { Call, Handlers } from './socket/socket-server.ts';

const DISCONNECT_TIMEOUT_MS = 20_000;
const COUNTERS_MS = 1000;
/** A caller may wait as long as it likes. */
const FOREVER_MS = 2 ** 31 - 1;

export function handlersOf(daemon: Daemon, facts: { readonly group: boolean }): Handlers {
  const { machine, keeper, folder } = daemon;
  const status = (): Promise<ClientStatus> => Promise.resolve(daemon.status());
  /** Logging in and out, one at a time. */
  let accountChanges = false;

  const changeAccount = async <T>(work: () => Promise<T>): Promise<T> => {
    if (accountChanges) throw new DaemonFailure('conflict', 'somebody is logging in or out just now');
    accountChanges = true;
    try {
      return await work();
    } finally {
      accountChanges = false;
    }
  };

  const connect: Handlers['connect'] = async ({ target, via, advertise }, call) => {
    if (keeper.record === undefined || machine.state.account === undefined)
      throw new DaemonFailure('notLoggedIn', 'nobody is logged in: sallyport login URL');
    refuseUnknown(machine.state, target);
    if (via !== NO_ENTRY) refuseUnknown(machine.state, via);
    if (advertise !== null) await setSettings({ ...machine.state.settings, advertise });
    try {
      daemon.noteIntent(intentOf(machine.state.settings, target, via));
    } catch (error) {
      throw new DaemonFailure('failed', `it can't be kept on the disk that a tunnel is wanted, and a daemon that starts anew would open everything: ${messageOf(error)}`); // prettier-ignore
    }
    const stop = tellStatus(daemon, call);
    try {
      machine.take({ kind: 'connect', target, via });
      await machine.until(({ phase }) => phase === 'connected' || phase === 'blocked' || phase === 'disconnected', FOREVER_MS, call.signal); // prettier-ignore
    } finally {
      stop();
    }
    const { phase, block } = machine.state;
    if (phase === 'blocked') throw new DaemonFailure('blocked', block?.message ?? 'no tunnel can be had');
    if (phase === 'disconnected') throw new DaemonFailure('conflict', 'somebody disconnected meanwhile');
    return daemon.status();
  };

  const setSettings = async (settings: ClientSettings): Promise<ClientSettings> => {
    const { state } = machine;
    if (!settings.killSwitch && !settings.lockdown && state.configuration?.requirements.killSwitch === true)
      throw new DaemonFailure('notPermitted', 'an administrator requires the kill switch of your group');
    const advertises = settings.advertise.join() !== state.settings.advertise.join();
    if (advertises && keeper.control !== undefined && keeper.record !== undefined) {
      const { deviceId } = keeper.record;
      await keeper.control
        .call(routes.advertiseNetworks, { params: { deviceId }, body: { prefixes: settings.advertise } })
        .catch((error: unknown) => {
          // prettier-ignore
          throw new DaemonFailure(error instanceof ApiUnreachable ? 'unreachable' : 'refused', messageOf(error));
        });
    }
    await folder.settings.write(settings);
    machine.take({ kind: 'settings', settings });
    await daemon.inForce();
    return settings;
  };

  return {
    status,
    watch: async (_, call) => {
      const stop = tellStatus(daemon, call, COUNTERS_MS);
      await new Promise((resolve) => {
        call.signal.addEventListener('abort', resolve);
      });
      stop();
      return {};
    },
    login: (params, { tell, signal }) =>
      changeAccount(async () => {
        const { record } = keeper;
        if (record !== undefined) throw new DaemonFailure('conflict', `${record.userName} is logged in at ${record.url}: sallyport logout first`); // prettier-ignore
        const control = strangerAt(daemon, params.url, params.fingerprint);
        await daemon.inForce();
        try {
          await keeper.set(await logIn({ ...params, control, onCode: tell, signal }));
        } catch (error) {
          machine.take({ kind: 'account', account: undefined });
          throw error;
        }
        machine.take({ kind: 'account', account: undefined });
        machine.take({ kind: 'account', account: keeper.account });
        await machine.until(({ configuration, fetchDeadline }) => configuration !== undefined || fetchDeadline === undefined, DISCONNECT_TIMEOUT_MS, signal); // prettier-ignore
        return daemon.status();
      }),
    logout: () =>
      changeAccount(async () => {
        const { record, control } = keeper;
        if (record === undefined || control === undefined)
          throw new DaemonFailure('notLoggedIn', 'nobody is logged in');
        // While the way there is open.
        const left = await logOut(record, control);
        machine.take({ kind: 'account', account: undefined });
        await machine.until(({ phase }) => phase === 'disconnected', DISCONNECT_TIMEOUT_MS);
        await keeper.clear();
        await daemon.forgetKeys();
        return { ...daemon.status(), message: left ?? '' };
      }),
    connect,
    disconnect: async () => {
      machine.take({ kind: 'disconnect' });
      if (!(await machine.until(({ phase }) => phase === 'disconnected', DISCONNECT_TIMEOUT_MS)))
        throw new DaemonFailure('failed', 'the machine could not be set back; see the log of the daemon');
      return daemon.status();
    },
    regions: async () => ({ items: await regionChoices(daemon) }),
    settings: () => Promise.resolve(machine.state.settings),
    set: (settings) => setSettings(settings),
    doctor: async (_, { tell, signal }) => ({ items: await examine(daemon, facts, tell, signal) }),
    outside: async ({ pid }, { caller }) => {
      const owner = ownerOf(pid);
      if (owner === undefined) throw new DaemonFailure('badRequest', `there is no process ${String(pid)}`);
      if (caller === undefined || (caller.uid !== 0 && caller.uid !== owner))
        throw new DaemonFailure('notPermitted', `process ${String(pid)} is somebody else's`);
      try {
        (await daemon.outside()).cgroup.add(pid);
      } catch (error) {
        throw new DaemonFailure('failed', `programs can't go beside the tunnel here: ${messageOf(error)}`);
      }
      return {};
    },
    leakWatch: ({ seconds }, { signal }) => {
      const allowed = (): Allowed => {
        const { desired, settings } = machine.state;
        const { firewall } = desired;
        const dhcp = settings.allowDhcp;
        if (firewall === 'open') return { endpoints: [], prefixes: [], dhcp };
        const { endpoints, excluded, localNetworks = [] } = firewall;
        return { endpoints, prefixes: [...excluded, ...localNetworks], dhcp };
      };
      return watchForLeaks(seconds, allowed, signal);
    },
  };
}

/** Tells a caller the status now, at each change, and where `everyMs` is given that often besides. */
function tellStatus(daemon: Daemon, { tell, signal }: Call, everyMs?: number): () => void {
  let last = '';
  let planned = false;
  let stopped = false;
  const now = (): void => {
    planned = false;
    if (stopped || signal.aborted) return;
    const status = daemon.status();
    // The moment is counted back from now, and may be a millisecond off.
    const text = JSON.stringify({ ...status, since: '', retryAt: '', receivedBytes: everyMs === undefined ? 0 : status.receivedBytes, sentBytes: everyMs === undefined ? 0 : status.sentBytes }); // prettier-ignore
    if (text === last) return;
    last = text;
    tell(status);
  };
  // Many events of a moment are one change.
  const end = daemon.machine.listen(() => {
    if (planned) return;
    planned = true;
    void soon().then(now);
  });
  const timer = everyMs === undefined ? undefined : setInterval(now, everyMs);
  now();
  return () => {
    stopped = true;
    end();
    clearInterval(timer);
  };
}

/** A target that nothing means is a slip of the pen; without a configuration that isn't known yet. */
function refuseUnknown({ configuration }: State, target: string | null): void {
  if (target === null || configuration === undefined) return;
  if (configuration.gateways.some((gateway) => means(target, gateway))) return;
  throw new DaemonFailure('badRequest', `no region or gateway that you may use is called ${target}: sallyport regions`);
}

/** Where everything is blocked the way to it is opened first, which takes an address. */
function strangerAt(daemon: Daemon, url: string, fingerprint: string | null): ControlPlane {
  let control: ControlPlane;
  try {
    control = daemon.keeper.stranger(url, fingerprint);
  } catch (error) {
    throw new DaemonFailure('badRequest', messageOf(error));
  }
  if (!daemon.isBlocking) return control;
  if (isIP(control.host) === 0)
    throw new DaemonFailure('refused', 'lockdown blocks everything, names too: log in by the address of the service, or switch lockdown off before'); // prettier-ignore
  daemon.machine.take({ kind: 'account', account: { controlAddresses: [control.host], controlPort: control.port } });
  return control;
}

/** Whose process it is (its effective user); undefined where there is none. */
function ownerOf(pid: number): number | undefined {
  try {
    const { uid } = statSync(`/proc/${String(pid)}`);
    // A program that gave itself other rights is shown as root's: the real user is meant.
    const real = /^Uid:\s+(\d+)/m.exec(readFileSync(`/proc/${String(pid)}/status`, 'utf8'))?.[1];
    return real === undefined ? uid : Number(real);
  } catch {
    return undefined;
  }
}
