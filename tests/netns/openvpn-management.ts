// The other end of openvpn's management interface: where a graphical program would sit.
import { once } from 'node:events';
import { createConnection, type Socket } from 'node:net';
import { until } from '@sallyport/netlab';

export class Management {
  text = '';
  readonly #socket: Socket;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.setEncoding('utf8').on('data', (part: string) => (this.text += part));
    socket.on('error', () => undefined);
  }

  /** To the socket of a profile's line `management PATH unix`. */
  static async open(path: string): Promise<Management> {
    const connected = async (): Promise<Socket | undefined> => {
      const socket = createConnection(path);
      return once(socket, 'connect').then(
        () => socket,
        () => undefined,
      );
    };
    return new Management(await until("openvpn's management", connected));
  }

  say(line: string): void {
    this.#socket.write(`${line}\n`);
  }

  /** Until it says this behind what was heard before; returns what matched, and hears on behind it. */
  async hear(pattern: RegExp): Promise<RegExpExecArray> {
    let found: RegExpExecArray | null = null;
    try {
      await until(`openvpn's management: ${String(pattern)}`, () => (found = pattern.exec(this.text)) !== null);
    } catch (cause) {
      throw new Error(`${(cause as Error).message}: ${this.text}`, { cause });
    }
    const match = found as unknown as RegExpExecArray;
    this.text = this.text.slice(match.index + match[0].length);
    return match;
  }

  close(): void {
    this.#socket.destroy();
  }
}

export function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
