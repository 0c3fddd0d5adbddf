/** What callers may ask of the daemon. */
import { isIP } from 'node:net';
import { setImmediate as soon } from 'node:timers/promises';
import { ApiUnreachable, routes } from '@sallyport/api';
import {
  intentOf,
  isKillSwitchRequired,
  isPrivateNetwork,
  killSwitchOf,
  means,
  NO_ENTRY,
  parsePrefix,
  type ClientSettings,
  type ClientStatus,
  type Intent,
  type State,
} from '@sallyport/client';
import { logIn, logOut } from './account/login.ts';
import type { ControlPlane } from './account/control-plane.ts';
import type { Daemon } from './daemon.ts';
import { examine } from './doctor/doctor.ts';
import { DaemonFailure, messageOf } from './failure.ts';
import { watchForLeaks, type Allowed } from './leak-watch.ts';
import { letOutside } from './outside.ts';
import { regionChoices } from './regions.ts';
import type { Call, Handlers } from './socket/socket-server.ts';

const REQUIRED = 'an administrator requires the kill switch of your group';
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
    refuseOneForTwo(machine.state, intentOf(machine.state.settings, target, via));
    if (advertise !== null) await setSettings({ ...machine.state.settings, advertise }, true);
    try {
      daemon.noteIntent(intentOf(machine.state.settings, target, via));
    } catch (error) {
      throw new DaemonFailure('failed', `it can't be kept on the disk that a tunnel is wanted, and a daemon that starts anew would open everything: ${messageOf(error)}`); // prettier-ignore
    }
    machine.take({ kind: 'connect', target, via });
    // From here on: the steps of a connection before are not this one's.
    const stop = tellStatus(daemon, call);
    try {
      await machine.until(({ phase }) => phase === 'connected' || phase === 'blocked' || phase === 'disconnected', FOREVER_MS, call.signal); // prettier-ignore
    } finally {
      stop();
    }
    const { phase } = machine.state;
    if (phase === 'blocked') throw failureOfBlock(machine.state);
    if (phase === 'disconnected') throw new DaemonFailure('conflict', 'somebody disconnected meanwhile');
    return daemon.status();
  };

  /** `explicitly`: somebody named the networks, if only those that were set before, which the service may not know. */
  const setSettings = async (settings: ClientSettings, explicitly: boolean): Promise<ClientSettings> => {
    const { state } = machine;
    if (isKillSwitchRequired(state)) {
      if (!settings.killSwitch && !settings.lockdown) throw new DaemonFailure('notPermitted', REQUIRED);
      const { mode, networks } = settings.split;
      const isNew = JSON.stringify(settings.split) !== JSON.stringify(state.settings.split);
      if (isNew && mode === 'exclude' && !networks.every(isPrivateNetwork))
        throw new DaemonFailure('notPermitted', `${REQUIRED}: none but private networks can be left out of the tunnel`);
    }
    // A slip of the pen is found now, not when everything is blocked by it.
    if (settings.target !== state.settings.target) refuseUnknown(state, settings.target);
    if (settings.via !== state.settings.via) refuseUnknown(state, settings.via);
    if (explicitly || settings.advertise.join() !== state.settings.advertise.join()) {
      refuseEverything(settings.advertise);
      await offer(settings.advertise);
    }
    await folder.settings.write(settings);
    machine.take({ kind: 'settings', settings });
    await daemon.settled();
    return settings;
  };

  /** Tells the service which networks are behind this machine; without an account that is done after the login. */
  const offer = async (prefixes: readonly string[]): Promise<void> => {
    const { control, record } = keeper;
    if (control === undefined || record === undefined) return;
    try {
      await control.call(routes.advertiseNetworks, { params: { deviceId: record.deviceId }, body: { prefixes: [...prefixes] } }); // prettier-ignore
    } catch (error) {
      throw new DaemonFailure(error instanceof ApiUnreachable ? 'unreachable' : 'refused', messageOf(error));
    }
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
        const { advertise } = machine.state.settings;
        let left: string | undefined;
        try {
          await keeper.set(await logIn({ ...params, control, onCode: tell, signal }));
          // Set before there was an account; and while the way there is open.
          if (advertise.length > 0) left = await offer(advertise).then(() => undefined, messageOf);
        } catch (error) {
          machine.take({ kind: 'account', account: undefined });
          throw error;
        }
        machine.take({ kind: 'account', account: undefined });
        machine.take({ kind: 'account', account: keeper.account });
        await machine.until(({ configuration, fetchDeadline }) => configuration !== undefined || fetchDeadline === undefined, DISCONNECT_TIMEOUT_MS, signal); // prettier-ignore
        if (left === undefined) return daemon.status();
        const message = `the networks behind this machine could not be offered (${left}); to try again: sallyport connect --advertise ${advertise.join()}`; // prettier-ignore
        return { ...daemon.status(), message };
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
    // What is no change is somebody who says it again.
    set: (settings) => setSettings(settings, JSON.stringify(settings) === JSON.stringify(machine.state.settings)),
    doctor: async (_, { tell, signal }) => ({ items: await examine(daemon, facts, tell, signal) }),
    outside: async ({ pid }, { caller }) => {
      if (isKillSwitchRequired(machine.state))
        throw new DaemonFailure('notPermitted', `${REQUIRED}: no program goes beside the tunnel`);
      await letOutside(pid, caller, () => daemon.outside());
      return {};
    },
    leakWatch: ({ seconds }, { tell, signal }) => {
      const allowed = (): Allowed => {
        const { desired, settings } = machine.state;
        const { firewall } = desired;
        const dhcp = settings.allowDhcp;
        if (firewall === 'open') return { endpoints: [], prefixes: [], dhcp };
        const { endpoints, excluded, localNetworks = [] } = firewall;
        return { endpoints, prefixes: [...excluded, ...localNetworks], dhcp };
      };
      const onBegun = (): void => tell({ watching: true });
      return watchForLeaks(seconds, allowed, { signal, onBegun });
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

/** That the service lets this device in nowhere is not a connection that comes later. */
function failureOfBlock(state: State): DaemonFailure {
  const message = state.block?.message ?? 'no tunnel can be had';
  if (state.block?.reason !== 'refused') return new DaemonFailure('blocked', message);
  const remedy = killSwitchOf(state) ? '; nothing leaves this machine until: sallyport disconnect' : '';
  return new DaemonFailure('notPermitted', `${message}${remedy}`);
}

/** The service takes no network that is half of the world either; this one is refused before anything is asked or kept. */
function refuseEverything(advertise: readonly string[]): void {
  for (const text of advertise) {
    const prefix = parsePrefix(text);
    if (prefix === undefined || !text.includes('/'))
      throw new DaemonFailure('badRequest', `${text} is no network; name those behind this machine: 10.1.0.0/24,fd10::/64`); // prettier-ignore
    if (prefix.length === 0)
      throw new DaemonFailure('badRequest', `${text} is everything, and no network behind this machine; name its networks, as 10.1.0.0/24, or none: a way to the internet is what gateways are for`); // prettier-ignore
  }
}

/** A target that nothing means is a slip of the pen; without a configuration that isn't known yet. */
function refuseUnknown({ configuration }: State, target: string | null): void {
  if (target === null || configuration === undefined) return;
  if (configuration.gateways.some((gateway) => means(target, gateway))) return;
  throw new DaemonFailure('badRequest', `no region or gateway that you may use is called ${target}: sallyport regions`);
}

/** Two hops take two gateways: with one alone there would never be a way. What isn't known yet is left to be found out. */
function refuseOneForTwo({ configuration }: State, { target, via }: Intent): void {
  if (via === null || configuration === undefined) return;
  const meant = (name: string): string[] =>
    configuration.gateways.filter((one) => means(name, one)).map(({ id }) => id);
  const [entries, exits] = [meant(via), meant(target)];
  if (entries.length === 0 || exits.length === 0 || entries.some((entry) => exits.some((exit) => exit !== entry)))
    return;
  throw new DaemonFailure('badRequest', `${via} can’t be entered and left at once: two hops take two gateways; for one: --via none`); // prettier-ignore
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
