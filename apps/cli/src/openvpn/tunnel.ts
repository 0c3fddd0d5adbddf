import { setTimeout as sleep } from 'node:timers/promises';
import type { Secret } from '@sallyport/core';
import { CommandRunner, Ip } from '@sallyport/io';
import { pulledNetwork, type ClientEvent, type OpenVpnProfile } from '@sallyport/openvpn';
import { openOpenVpnClientPlane, type OpenVpnPlane } from '@sallyport/openvpn-plane';
import { CommandFailure, EXIT_FAILED, EXIT_NOT_PERMITTED } from '../command.ts';
import { attempt, type AttemptEnding } from './attempt.ts';
import { Credentials } from './credentials.ts';
import { plainWords, type Interaction } from './interaction.ts';
import type { LoadedProfile } from './load.ts';
import { emptyUndo, TunnelNetwork } from './network.ts';
import { interfaceMtu } from './outer-mtu.ts';
import { beginningOf, removeTunnelRecord, writeTunnelRecord, type TunnelRecord, type UpFacts } from './record.ts';
import { chooseMark, peerInfoOf, privateKeyOf } from './prepare.ts';
import { targetsOf, type Target } from './remotes.ts';

const DEFAULT_MTU = 1500;
const FIRST_RETRY_S = 1;
const LAST_RETRY_S = 300;
/** A connection that stood for so long begins the pauses anew. */
const STEADY_MS = 60_000;

export interface TunnelRequest extends LoadedProfile {
  readonly authFile: string | undefined;
  readonly interaction: Interaction;
  /** Where it fires, the tunnel is taken down. */
  readonly signal: AbortSignal;
}

type Connected = Extract<ClientEvent, { kind: 'connected' }>['configuration'];

/** One tunnel, from its interface to its end. */
export class Tunnel {
  readonly #request: TunnelRequest;
  readonly #profile: OpenVpnProfile;
  readonly #credentials: Credentials;
  readonly #ip: Ip;
  #network: TunnelNetwork | undefined;
  /** Writes down whether it is connected, and how. */
  #keepUp: (up: TunnelRecord['up']) => void = () => undefined;
  /** What the network was last set to, as text. */
  #set: string | undefined;
  #connectedAt: number | undefined;
  /** Setting up the network, one after the other. */
  #settingUp: Promise<void> = Promise.resolve();
  #failure: unknown;
  readonly #stop = new AbortController();

  constructor(request: TunnelRequest) {
    this.#request = request;
    this.#profile = request.profile;
    this.#credentials = new Credentials(request.profile, request.interaction, request.authFile);
    this.#ip = new Ip(
      new CommandRunner((line) => {
        request.interaction.tell(`[#] ${line}`);
      }),
    );
  }

  /** Runs until it is told to stop, or can't go on: that throws a CommandFailure. */
  async run(): Promise<void> {
    const { name, path, interaction, signal } = this.#request;
    const missing = TunnelNetwork.missingPrograms();
    if (missing !== undefined) throw new CommandFailure(EXIT_FAILED, missing);
    if ((await this.#ip.linkMtu(name)) !== undefined) {
      const remedy = `take it down with: sallyport openvpn down ${name}`;
      throw new CommandFailure(EXIT_FAILED, `the interface ${name} exists already; ${remedy}`);
    }
    const key = await privateKeyOf(this.#profile, interaction);
    const mark = await chooseMark(this.#ip);
    const record: TunnelRecord = {
      pid: process.pid,
      began: beginningOf(process.pid) ?? '',
      profile: path,
      mark,
      undo: emptyUndo(),
    };
    const keep = (): void => {
      writeTunnelRecord(name, record);
    };
    keep();
    this.#keepUp = (up) => {
      record.up = up;
      keep();
    };
    const stop = (): void => {
      this.#stop.abort();
    };
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    const plane = openOpenVpnClientPlane({ name, mtu: this.#profile.network.tunMtu ?? DEFAULT_MTU });
    this.#network = new TunnelNetwork({ name, record, keep, tell: interaction.tell });
    let removed = false;
    const gone = plane.plane.closed.then(
      () => {
        removed = true;
        stop();
      },
      (error: unknown) => {
        this.#failure ??= error;
        stop();
      },
    );
    try {
      await plane.start();
      await this.#rounds(plane, key, mark);
    } finally {
      signal.removeEventListener('abort', stop);
      await this.#settingUp;
      // Where somebody else removed the interface, that was on purpose.
      const failures = await this.#network.takeBack().catch((error: unknown) => [String(error)]);
      for (const failure of failures) interaction.tell(`could not be undone: ${failure}`);
      plane.plane.close();
      await gone;
      removeTunnelRecord(name);
    }
    if (this.#failure instanceof Error)
      throw new CommandFailure(EXIT_FAILED, this.#failure.message, { cause: this.#failure });
    if (removed && !signal.aborted) throw new CommandFailure(EXIT_FAILED, `the interface ${name} was removed`);
  }

  /** Tries all addresses, again and again, with growing pauses. */
  async #rounds(plane: OpenVpnPlane, key: Secret<string> | undefined, mark: number): Promise<void> {
    const { connectRetry = { first: FIRST_RETRY_S, last: LAST_RETRY_S }, connectRetryMax = Infinity } = this.#profile;
    const { interaction } = this.#request;
    const { signal } = this.#stop;
    const peerInfo = peerInfoOf(this.#profile);
    let pauseS = connectRetry.first;
    let failedRounds = 0;
    while (!signal.aborted) {
      const { targets, unresolved } = await targetsOf(this.#profile);
      for (const host of unresolved) interaction.tell(`${host} has no address that can be used`);
      let connected = false;
      for (let i = 0; i < targets.length && !signal.aborted;) {
        const target = targets[i];
        await this.#credentials.prepare();
        this.#connectedAt = undefined;
        interaction.tell(`connecting to ${describeTarget(target)}`);
        const ending = await attempt({
          profile: this.#profile,
          key,
          target,
          side: plane.side,
          // Another port than before: by the old one a server may still know the connection that it refused.
          port: plane.plane.listen(0, mark),
          mark,
          credentials: this.#credentials,
          peerInfo,
          signal,
          onEvent: (event) => {
            this.#onEvent(event, target);
          },
        });
        await this.#settingUp;
        if (this.#connectedAt !== undefined) this.#keepUp(undefined);
        if (this.#failure !== undefined || signal.aborted) return;
        const next = await this.#after(ending, target);
        if (next === 'again') continue;
        if (this.#connectedAt !== undefined) {
          connected = true;
          const steady = performance.now() - this.#connectedAt > STEADY_MS;
          pauseS = steady ? connectRetry.first : Math.min(pauseS * 2, connectRetry.last);
          await pause(typeof next === 'number' ? next : pauseS, signal);
        } else if (typeof next === 'number') await pause(next, signal);
        // The server that the tunnel was with comes first, unless it sends its clients to the next.
        if (this.#connectedAt === undefined || next === 'advance') i++;
      }
      if (connected) failedRounds = 0;
      else if (++failedRounds >= connectRetryMax) throw new CommandFailure(EXIT_FAILED, 'no server could be reached');
      await pause(pauseS, signal);
      pauseS = Math.min(pauseS * 2, connectRetry.last);
    }
  }

  #onEvent(event: Exclude<ClientEvent, { kind: 'ended' }>, target: Target): void {
    const { interaction } = this.#request;
    switch (event.kind) {
      case 'connected':
        this.#connectedAt = performance.now();
        this.#credentials.spendAnswer();
        this.#settingUp = this.#settingUp
          .then(() => this.#setUp(event.configuration, target))
          .catch((error: unknown) => {
            this.#failure ??= error;
            this.#stop.abort();
          });
        return;
      case 'token':
        this.#credentials.takeToken(event.userName, event.token);
        return;
      case 'info': {
        const url = loginUrl(event.text);
        if (url !== undefined) interaction.tell(`log in with your browser: ${url}`);
        else interaction.tell(`the server says: ${plainWords(event.text)}`);
        return;
      }
      case 'authenticationPending':
        interaction.tell('the server waits for your login');
        return;
      case 'renegotiated':
    }
  }

  async #setUp(configuration: Connected, target: Target): Promise<void> {
    const { name, interaction } = this.#request;
    const { network, faults } = pulledNetwork(this.#profile, configuration.options);
    for (const fault of faults) interaction.tell(`Warning: the server pushed what can't be done: ${plainWords(fault)}`);
    const mtu = await interfaceMtu(this.#ip, configuration.mtu, target, network.mssfix);
    const wanted = JSON.stringify([network, mtu, target.address]);
    if (wanted !== this.#set) {
      for (const failure of (await this.#network?.takeBack()) ?? []) interaction.tell(failure);
      this.#set = undefined;
      await this.#network?.set(network, mtu, target.address);
      this.#set = wanted;
    }
    const facts: UpFacts = {
      interface: name,
      server: describeTarget(target),
      transport: target.transport,
      cipher: configuration.cipher,
      ipv4: network.ipv4 ?? null,
      ipv6: network.ipv6 ?? null,
      mtu,
    };
    this.#keepUp({ ...facts, since: Date.now() });
    interaction.up(facts);
  }

  /** What to do after an attempt: again at once, after a pause, after so many seconds, or the next address. */
  async #after(ending: AttemptEnding, target: Target): Promise<'again' | 'wait' | 'advance' | number> {
    const { interaction } = this.#request;
    const where = describeTarget(target);
    switch (ending.kind) {
      case 'authFailed': {
        const { failure } = ending;
        this.#credentials.spendAnswer();
        if (failure.kind === 'challenge') {
          await this.#credentials.answer(failure.challenge);
          return 'again';
        }
        if (failure.kind === 'temporary') {
          if (failure.text !== '') interaction.tell(`${where}: ${plainWords(failure.text)}`);
          if (failure.advance !== 'no') return 'advance';
          return failure.backoffSeconds ?? 'wait';
        }
        return this.#afterRefusal(plainWords(failure.text));
      }
      case 'restart':
        interaction.tell(
          `${where} wants to be connected to again${ending.text === '' ? '' : `: ${plainWords(ending.text)}`}`,
        );
        return ending.advance ? 'advance' : 'wait';
      case 'halt':
        throw new CommandFailure(EXIT_FAILED, `${where} ends the connection for good: ${plainWords(ending.text)}`);
      case 'refusedPush':
        throw new CommandFailure(EXIT_FAILED, `${where}: ${plainWords(ending.text)}`);
      case 'timeout':
        interaction.tell(`${where}: ${ending.phase === 'ping' ? 'nothing comes any more' : 'no answer in time'}`);
        if (ending.phase === 'ping' && this.#profile.ping.exit !== undefined) {
          throw new CommandFailure(EXIT_FAILED, 'the server is silent, and the profile asks to end then (ping-exit)');
        }
        return 'wait';
      case 'tls':
        interaction.tell(`${where}: TLS failed: ${plainWords(ending.text)}`);
        return 'wait';
      case 'unreachable':
        interaction.tell(`${where}: ${plainWords(ending.text)}`);
        return 'wait';
      case 'exit':
      case 'stopped':
        interaction.tell(`${where} has ended the connection`);
        return 'wait';
    }
  }

  #afterRefusal(text: string): 'again' | 'wait' {
    const { interaction } = this.#request;
    if (this.#credentials.hasToken) {
      this.#credentials.forgetToken();
      interaction.tell(`the login has run out${text === '' ? '' : `: ${text}`}`);
      return 'again';
    }
    if (this.#profile.authRetry === 'none') {
      throw new CommandFailure(EXIT_NOT_PERMITTED, `the server refuses the login${text === '' ? '' : `: ${text}`}`);
    }
    interaction.tell(`the server refuses the login${text === '' ? '' : `: ${text}`}`);
    if (this.#profile.authRetry === 'nointeract') return 'wait';
    this.#credentials.forgetPassword();
    return 'again';
  }
}

function describeTarget({ host, address, port, transport }: Target): string {
  const name = host === address ? host : `${host} (${address})`;
  return `${name} port ${String(port)}/${transport}`;
}

/** The address of a page in `WEB_AUTH:flags:URL` or `OPEN_URL:URL`. */
export function loginUrl(text: string): string | undefined {
  return /^(?:WEB_AUTH:[^:]*|OPEN_URL):(https?:\/\/[\x21-\x7e]{1,2000})$/.exec(text)?.[1];
}

async function pause(seconds: number, signal: AbortSignal): Promise<void> {
  await sleep(Math.min(seconds, 3600) * 1000, undefined, { signal }).catch(() => undefined);
}
