import { readFileSync } from 'node:fs';
import { Secret } from '@sallyport/core';
import { encodeCrv1Response, encodeScrv1, type DynamicChallenge, type OpenVpnProfile } from '@sallyport/openvpn';
import { CommandFailure, EXIT_NO_INPUT } from '../command.ts';
import { plainWords, type Interaction } from './interaction.ts';

interface Login {
  readonly userName: string;
  readonly password: Secret<string>;
}

/** User name, password, and the answer to a static challenge: a line each. The last one may be left out. */
export function readAuthFile(path: string): { login: Login; code: string | undefined } {
  let lines: string[];
  try {
    lines = readFileSync(path, 'utf8').split(/\r?\n/);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new CommandFailure(EXIT_NO_INPUT, `--auth-file: ${reason}`, { cause: error });
  }
  const [userName = '', password = '', code] = lines;
  if (userName === '' || password === '') {
    throw new CommandFailure(
      EXIT_NO_INPUT,
      `--auth-file: ${path} needs the user name on its first line, the password on its second`,
    );
  }
  return { login: { userName, password: new Secret(password) }, code: code === '' ? undefined : code };
}

/** What is shown to the server: what was asked for, the answer to its question, or its token in place of both. */
export class Credentials {
  readonly #profile: OpenVpnProfile;
  readonly #interaction: Interaction;
  #known: Login | undefined;
  #userName: string | undefined;
  #code: string | undefined;
  #token: Login | undefined;
  #answer: Login | undefined;
  #current: Login | undefined;

  constructor(profile: OpenVpnProfile, interaction: Interaction, authFile: string | undefined) {
    this.#profile = profile;
    this.#interaction = interaction;
    const { login } = profile;
    this.#userName = login?.userName;
    if (authFile !== undefined) {
      const { login: given, code } = readAuthFile(authFile);
      this.#known = given;
      this.#userName = given.userName;
      this.#code = code;
    } else if (login?.userName !== undefined && login.password !== undefined) {
      this.#known = { userName: login.userName, password: login.password };
    }
  }

  /** For a new connection: asks for what is missing. */
  async prepare(): Promise<void> {
    const given = this.#answer ?? this.#token;
    if (given !== undefined || this.#profile.login === undefined) {
      this.#current = given;
      return;
    }
    if (this.#known === undefined) {
      const userName = this.#userName ?? (await this.#interaction.ask('User name', false));
      const password = new Secret(await this.#interaction.ask('Password', true));
      this.#known = { userName, password };
    }
    this.#current = await this.#challenged(this.#known);
  }

  async #challenged({ userName, password }: Login): Promise<Login> {
    const { staticChallenge } = this.#profile;
    if (staticChallenge === undefined) return { userName, password };
    const { text, echo, concatenate } = staticChallenge;
    const code = this.#code ?? (await this.#interaction.ask(plainWords(text), !echo));
    // A code is good once.
    this.#code = undefined;
    const both = concatenate ? password.reveal() + code : encodeScrv1(password.reveal(), code);
    return { userName, password: new Secret(both) };
  }

  /** Asked by the client for each exchange of keys. */
  get current(): Login | undefined {
    return this.#current;
  }

  get hasToken(): boolean {
    return this.#token !== undefined;
  }

  takeToken(userName: string | undefined, token: Secret<string>): void {
    this.#token = { userName: userName ?? this.#current?.userName ?? '', password: token };
  }

  /** The server has looked at the answer to its question, which is good once. */
  spendAnswer(): void {
    this.#answer = undefined;
  }

  forgetToken(): void {
    this.#token = undefined;
  }

  /** The next login asks anew. */
  forgetPassword(): void {
    this.#token = undefined;
    this.#known = undefined;
  }

  /** Asks the user what the server wants to know; the next login has the answer. */
  async answer({ state, userName, text, echo, responseRequired }: DynamicChallenge): Promise<void> {
    const question = plainWords(text);
    let response = '';
    if (responseRequired) response = this.#code ?? (await this.#interaction.ask(question, !echo));
    else this.#interaction.tell(question);
    this.#code = undefined;
    const name = userName === '' ? (this.#current?.userName ?? '') : userName;
    this.#answer = { userName: name, password: new Secret(encodeCrv1Response(state, response)) };
  }
}
