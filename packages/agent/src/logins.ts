import { MAX_LOGIN_TEXT, type AuthenticationVerdict, type FromControl, type FromGateway } from '@sallyport/link';
import type { Clock } from './clock.ts';
import type { LoginRequest, Logins } from './tunnel.ts';

/** Logins that may wait for a verdict at a time. */
const MAX_WAITING = 1024;
/** How long the control plane has for a verdict. */
const VERDICT_MS = 30_000;
/** Added to the time that a login in a browser has, for the way of its verdict. */
const GRACE_MS = 5000;
/** When a device should come again that could not be asked about. */
const RETRY_SECONDS = 10;
/** As the link has them. */
const MAX_ID_LENGTH = 64;
const MAX_ADDRESS_LENGTH = 45;
const MAX_CLIENT_LENGTH = 100;

/** The first version of the link that knows logins. */
const FIRST_VERSION = 3;

type Answer = (verdict: AuthenticationVerdict) => void;

interface Waiting {
  readonly answer: Answer;
  cancelTimer: () => void;
  /** The verdict `web` has come. */
  web: boolean;
}

/** Asks the control plane about logins, over whichever link there is. */
export class LinkLogins implements Logins {
  readonly #clock: Clock;
  readonly #waiting = new Map<number, Waiting>();
  #number = 0;
  #send: ((message: FromGateway) => unknown) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** There is a link that speaks this version of the protocol. */
  open(version: number, send: (message: FromGateway) => unknown): void {
    this.close();
    if (version >= FIRST_VERSION) this.#send = send;
  }

  /** The link is gone, and the verdicts that were to come by it. */
  close(): void {
    this.#send = undefined;
    for (const [number, waiting] of [...this.#waiting]) {
      this.#end(number, waiting);
      waiting.answer(later());
    }
  }

  ask(request: LoginRequest, answer: Answer): () => void {
    const refuse = this.#refusalOf(request);
    if (refuse !== undefined) return this.#clock.after(0, () => { answer(refuse); }); // prettier-ignore
    const number = ++this.#number;
    const waiting: Waiting = { answer, cancelTimer: this.#timeout(number, VERDICT_MS), web: false };
    this.#waiting.set(number, waiting);
    this.#send?.(messageOf(number, request));
    return () => {
      if (this.#waiting.get(number) !== waiting) return;
      this.#end(number, waiting);
      this.#send?.({ kind: 'cancelAuthentication', number });
    };
  }

  /** Takes a verdict from the link. One that nobody waits for is nothing. */
  take({ number, verdict }: Extract<FromControl, { kind: 'authenticated' }>): void {
    const waiting = this.#waiting.get(number);
    if (waiting === undefined || (waiting.web && verdict.kind === 'web')) return;
    if (verdict.kind === 'web') {
      waiting.web = true;
      waiting.cancelTimer();
      waiting.cancelTimer = this.#timeout(number, verdict.timeoutSeconds * 1000 + GRACE_MS);
    } else this.#end(number, waiting);
    waiting.answer(verdict);
  }

  #refusalOf({ deviceId, proof }: LoginRequest): AuthenticationVerdict | undefined {
    if (this.#send === undefined || this.#waiting.size >= MAX_WAITING) return later();
    if (deviceId === '' || deviceId.length > MAX_ID_LENGTH)
      return { kind: 'refuse', reason: 'There is no such device.' };
    if (proof.kind !== 'password') return undefined;
    const { userName, password, code, challengeState = '' } = proof;
    const longest = Math.max(userName.length, password.reveal().length, code?.reveal().length ?? 0);
    if (longest <= MAX_LOGIN_TEXT && challengeState.length <= 1000) return undefined;
    return { kind: 'refuse', reason: 'The name or the password is wrong, or the account is not active.' };
  }

  #timeout(number: number, milliseconds: number): () => void {
    return this.#clock.after(milliseconds, () => {
      const waiting = this.#waiting.get(number);
      if (waiting === undefined) return;
      this.#end(number, waiting);
      this.#send?.({ kind: 'cancelAuthentication', number });
      waiting.answer(waiting.web ? { kind: 'refuse', reason: 'Nobody logged in in time.' } : later());
    });
  }

  #end(number: number, waiting: Waiting): void {
    waiting.cancelTimer();
    this.#waiting.delete(number);
  }
}

const later = (): AuthenticationVerdict => ({
  kind: 'refuse',
  reason: 'Logins can not be checked at the moment: try again in a while.',
  retryAfterSeconds: RETRY_SECONDS,
});

function messageOf(number: number, request: LoginRequest): FromGateway {
  const { deviceId, address, client, certificate, proof } = request;
  return {
    kind: 'authenticate',
    number,
    deviceId,
    address: address.slice(0, MAX_ADDRESS_LENGTH),
    client: client.slice(0, MAX_CLIENT_LENGTH),
    ...(certificate !== undefined && { certificate }),
    proof:
      proof.kind === 'password'
        ? {
            kind: 'password',
            userName: proof.userName,
            password: proof.password.reveal(),
            ...(proof.code !== undefined && { code: proof.code.reveal() }),
            ...(proof.challengeState !== undefined && { challengeState: proof.challengeState }),
          }
        : proof,
  };
}
