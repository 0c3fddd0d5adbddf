import type { Duplex } from 'node:stream';
import { CommandError, CommandRunner } from '@sallyport/io';
import { FirewallPlanError } from '@sallyport/policy';
import { MAX_PENDING_REQUESTS } from './client.ts';
import { InvalidRequest, RequestDecoder } from './decode-request.ts';
import type { PrivilegedBounds } from './decode-request.ts';
import { Firewall, OtherRevision } from './firewall.ts';
import type { Notice } from './firewall.ts';
import { Flows } from './flows.ts';
import { Forwarding } from './forwarding.ts';
import { FramingError, readMessages, writeMessage } from './framing.ts';
import { Memory } from './remembered.ts';
import { OTHER_REVISION, type PrivilegedAnswer, type PrivilegedRequest } from './requests.ts';
import { TunnelInterface } from './tunnel-interface.ts';
import { RouteError, TunnelRoutes } from './tunnel-routes.ts';

export interface PrivilegedServerOptions extends PrivilegedBounds {
  /** The other end is the gateway's. */
  readonly stream: Duplex;
  /**
   * A file below /run, in a folder of root's, for this interface of this network namespace alone: what was changed, for
   * the one that comes after a crash.
   */
  readonly statePath?: string | undefined;
  /** Gets what the operator should know. */
  readonly onNotice: (notice: Notice) => void;
  /** Gets each command that changes something, as a person would write it. */
  readonly onCommand?: ((line: string) => void) | undefined;
}

/**
 * Does what the gateway asks for, one request after the other, until its end of the stream is closed. It leaves
 * everything as it is then, unless it was asked to tear down: the interface went with the gateway, and a filter that
 * nobody needs does no harm. Settles at that end; rejects with a {@link FramingError} where the other end spoke
 * something else. Root is needed, and the network namespace of the interface.
 */
export async function servePrivileged(options: PrivilegedServerOptions): Promise<void> {
  const server = new Server(options);
  try {
    await server.run();
  } finally {
    server.stop();
    options.stream.destroy();
  }
}

interface Waiting {
  readonly id: number;
  readonly request: unknown;
}

class Server {
  readonly #stream: Duplex;
  readonly #decoder: RequestDecoder;
  readonly #memory: Memory;
  readonly #interface: TunnelInterface;
  readonly #routes: TunnelRoutes;
  readonly #forwarding: Forwarding;
  readonly #flows: Flows;
  readonly #firewall: Firewall;
  readonly #queue: Waiting[] = [];
  #last: Promise<unknown> = Promise.resolve();
  #working: Promise<void> | undefined;
  /** All was taken back: what comes now was asked before its asker knew that. */
  #tornDown = false;

  constructor({ stream, interfaceName, pools, networksUid, statePath, onNotice, onCommand }: PrivilegedServerOptions) {
    this.#stream = stream;
    // What can't be written is seen by the end of the reading too.
    stream.on('error', () => undefined);
    this.#decoder = new RequestDecoder({ interfaceName, pools });
    const runner = new CommandRunner(onCommand ?? (() => undefined));
    this.#memory = new Memory(statePath);
    this.#interface = new TunnelInterface(interfaceName, runner, this.#memory, networksUid);
    this.#routes = new TunnelRoutes(this.#interface, runner);
    this.#forwarding = new Forwarding(interfaceName, runner, this.#memory);
    this.#flows = new Flows((error) => onNotice({ code: 'FLOWS_NOT_CUT', message: messageOf(error) }));
    this.#firewall = new Firewall(runner, this.#flows, (task) => this.#serially(task), onNotice);
  }

  async run(): Promise<void> {
    for await (const message of readMessages(this.#stream)) {
      const { id, request } = (message ?? {}) as Partial<Waiting>;
      if (!Number.isSafeInteger(id)) throw new FramingError('a request has no number');
      // Each request of the client's is answered before it has more than this many under way.
      if (this.#queue.length >= MAX_PENDING_REQUESTS) throw new FramingError('too many requests wait');
      this.#queue.push({ id: id as number, request });
      this.#working ??= this.#work();
    }
    await this.#working;
  }

  stop(): void {
    this.#firewall.stop();
    this.#flows.stop();
  }

  async #work(): Promise<void> {
    for (let next = this.#queue.shift(); next !== undefined; next = this.#queue.shift()) {
      const ids = [next.id];
      let request = next.request;
      // A newer plan makes an older one needless. What else was asked keeps its place.
      while (kindOf(request) === 'setFirewall' && kindOf(this.#queue[0]?.request) === 'setFirewall') {
        const newer = this.#queue.shift() as Waiting;
        ids.push(newer.id);
        request = newer.request;
      }
      const answer = await this.#serially(() => this.#answer(request));
      for (const id of ids) if (!this.#stream.destroyed) writeMessage(this.#stream, { id, ...answer });
    }
    this.#working = undefined;
  }

  /** Runs one task at a time. */
  #serially<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#last.then(task);
    this.#last = run.catch(() => undefined);
    return run;
  }

  async #answer(value: unknown): Promise<Omit<PrivilegedAnswer, 'id'>> {
    try {
      const request = this.#decoder.decode(value);
      if (this.#tornDown && request.kind !== 'tearDown')
        throw new Error('everything was taken back, and nothing is set up again by this process');
      if (request.kind === 'setFirewall') return { firewall: await this.#firewall.set(request.plan) };
      if (request.kind === 'changeFirewall')
        return { firewall: await this.#firewall.change(request.revision, request.change) };
      if (request.kind === 'setNetworks')
        return { refused: await this.#routes.setNetworks(request.networks, request.unreachable) };
      await this.#do(request);
      return {};
    } catch (error) {
      return { error: { code: codeOf(error), message: messageOf(error) } };
    }
  }

  async #do(
    request: Exclude<PrivilegedRequest, { kind: 'setFirewall' | 'changeFirewall' | 'setNetworks' }>,
  ): Promise<void> {
    switch (request.kind) {
      case 'configureInterface':
        await this.#routes.begin();
        await this.#interface.configure(request.addresses, request.routes, request.mtu);
        return;
      case 'setDeviceMtu':
        await this.#routes.setDeviceMtu(request.ipv4, request.ipv6, request.mtu);
        return;
      case 'enableForwarding':
        this.#forwarding.enable();
        return;
      case 'cutFlows':
        await this.#flows.cut(request.addresses);
        return;
      case 'tearDown':
        this.#tornDown = true;
        // Nothing may pass while the parts go one by one.
        await this.#interface.setDown();
        await this.#routes.forget();
        this.#forwarding.tearDown();
        await this.#firewall.tearDown();
        await this.#interface.removeRules();
        this.#memory.forget();
    }
  }
}

function kindOf(request: unknown): unknown {
  return typeof request === 'object' && request !== null && 'kind' in request ? request.kind : undefined;
}

function codeOf(error: unknown): string {
  if (error instanceof InvalidRequest) return error.code;
  if (error instanceof OtherRevision) return OTHER_REVISION;
  if (error instanceof FirewallPlanError) return error.code === 'tooLarge' ? 'PLAN_TOO_LARGE' : 'INVALID_PLAN';
  if (error instanceof RouteError) return 'NOT_ROUTED';
  if (error instanceof CommandError) return error.code === 'notFound' ? 'PROGRAM_MISSING' : 'COMMAND_FAILED';
  return 'FAILED';
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
