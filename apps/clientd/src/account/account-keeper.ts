/** Who is logged in here: the record on the disk, the control plane that it belongs to, and what that gives. */
import { networkInterfaces } from 'node:os';
import { ApiProblem, ApiUnreachable, routes, type ClientConfiguration } from '@sallyport/api';
import { ENTRY_INTERFACE, faultOfConfiguration, TUNNEL_INTERFACE, type Account, type Event } from '@sallyport/client';
import { messageOf } from '../failure.ts';
import type { AccountRecord, StateFolder } from '../state-folder.ts';
import { ControlPlane } from './control-plane.ts';

/** Of these the device has no right any more. */
const REFUSALS = ['forbidden', 'notFound', 'enrolmentRequired', 'gone'];
/** What TLS says where somebody else answers who isn't the server. */
const IMPOSTOR =
  /self-signed|certificate|CERT_|altnames|wrong version number|packet length too long|other than the API/i;

export class AccountKeeper {
  readonly #folder: StateFolder;
  readonly #mayAskNames: () => boolean;
  readonly #userAgent: string;
  readonly #onFault: (message: string) => void;
  #record: AccountRecord | undefined;
  #control: ControlPlane | undefined;

  constructor(folder: StateFolder, mayAskNames: () => boolean, userAgent: string, onFault: (message: string) => void) {
    this.#onFault = onFault;
    this.#folder = folder;
    this.#mayAskNames = mayAskNames;
    this.#userAgent = userAgent;
  }

  async load(): Promise<void> {
    this.#use(await this.#folder.account.read());
  }

  get record(): AccountRecord | undefined {
    return this.#record;
  }

  get control(): ControlPlane | undefined {
    return this.#control;
  }

  /** As the state machine knows it. */
  get account(): Account | undefined {
    const control = this.#control;
    return control && { controlAddresses: control.addresses, controlPort: control.port };
  }

  /** A control plane that nobody is logged in at yet. Throws an ApiUnreachable for what is no address of one. */
  stranger(url: string, fingerprint: string | null): ControlPlane {
    const mayAskNames = this.#mayAskNames;
    return new ControlPlane({
      url,
      fingerprint,
      token: undefined,
      addresses: [],
      mayAskNames,
      userAgent: this.#userAgent,
    });
  }

  async set(record: AccountRecord): Promise<void> {
    await this.#folder.account.write(record);
    this.#use(record);
  }

  async clear(): Promise<void> {
    await this.#folder.account.remove();
    await this.#folder.configuration.remove();
    this.#use(undefined);
  }

  /** What the client needs to connect, or why it isn't had; and the account, where it was learned to be elsewhere. */
  async fetch(): Promise<Event[]> {
    const control = this.#control;
    const record = this.#record;
    if (control === undefined || record === undefined)
      return [{ kind: 'configurationFailed', reason: 'unreachable', message: 'nobody is logged in' }];
    try {
      const params = { deviceId: record.deviceId };
      const configuration: ClientConfiguration = await control.call(routes.getClientConfiguration, { params });
      if (this.#record !== record) return [];
      const fault = faultOfConfiguration(configuration, otherAddresses());
      if (fault !== undefined) return [{ kind: 'configurationFailed', reason: 'unreachable', message: fault }];
      control.learn(configuration.controlAddresses);
      const moved = control.addresses.join() !== record.controlAddresses.join();
      if (moved) this.#record = { ...record, controlAddresses: [...control.addresses] };
      await this.#remember(configuration, moved);
      return [...(moved ? [{ kind: 'account', account: this.account } as const] : []), { kind: 'configuration', configuration }]; // prettier-ignore
    } catch (error) {
      return [{ kind: 'configurationFailed', ...reasonOf(error) }];
    }
  }

  /** For the next start; where the disk takes no more, this one goes on all the same. */
  async #remember(configuration: ClientConfiguration, moved: boolean): Promise<void> {
    try {
      await this.#folder.configuration.write(configuration);
      if (moved && this.#record !== undefined) await this.#folder.account.write(this.#record);
    } catch (error) {
      this.#onFault(`what the control plane gave can't be kept: ${messageOf(error)}`);
    }
  }

  #use(record: AccountRecord | undefined): void {
    this.#record = record;
    this.#control =
      record &&
      new ControlPlane({
        url: record.url,
        fingerprint: record.fingerprint,
        token: record.token,
        addresses: record.controlAddresses,
        mayAskNames: this.#mayAskNames,
        userAgent: this.#userAgent,
      });
  }
}

/** Of this machine, but for those that it has by the tunnel. */
function otherAddresses(): string[] {
  const others = Object.entries(networkInterfaces()).filter(([name]) => name !== TUNNEL_INTERFACE && name !== ENTRY_INTERFACE); // prettier-ignore
  return others.flatMap(([, addresses = []]) => addresses.map(({ address }) => address));
}

function reasonOf(error: unknown): { reason: 'unreachable' | 'refused' | 'loginEnded' | 'portal'; message: string } {
  if (error instanceof ApiProblem) {
    const { code } = error.problem;
    const again = 'sallyport logout, then sallyport login URL';
    if (code === 'loginRequired')
      return { reason: 'loginEnded', message: `The login has ended, or this device was removed: ${again}` };
    if (!REFUSALS.includes(code)) return { reason: 'unreachable', message: error.message };
    const message = code === 'notFound' ? `This device was removed from the service: ${again}` : error.message;
    return { reason: 'refused', message };
  }
  const message = messageOf(error);
  // A pinned certificate that is another one is the server's new one as well as somebody else's: what it is, is looked at.
  if (error instanceof ApiUnreachable && IMPOSTOR.test(message) && !message.includes('pinned')) return { reason: 'portal', message }; // prettier-ignore
  return { reason: 'unreachable', message };
}
