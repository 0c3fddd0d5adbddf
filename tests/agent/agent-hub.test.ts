import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect, createServer, type AddressInfo, type Socket } from 'node:net';
import { test } from 'node:test';
import { randomNumbers } from '@sallyport/testkit';
import { ControlNode, eventually, openWorld } from '../control/hub-world.ts';
import { startGateway, temporaryDirectory, TestClock, type RunningGateway } from './agent-world.ts';

const DEVICES = 5;
const ROUNDS = 40;

/** A way to the control plane that breaks when it is told to, and swallows what is on it when it is told to. */
class BadWay {
  target = 0;
  port = 0;
  swallowsReports = false;
  swallowsAnswers = false;
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((near) => {
    const far = connect(this.target, '127.0.0.1');
    for (const [socket, other] of [[near, far], [far, near]] as const) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        this.#sockets.delete(socket);
        other.destroy();
      });
    }
    near.on('data', (data) => {
      if (!this.swallowsReports) far.write(data);
    });
    far.on('data', (data) => {
      if (!this.swallowsAnswers) near.write(data);
    });
  });

  async open(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    this.port = (this.#server.address() as AddressInfo).port;
  }

  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
    this.swallowsReports = false;
    this.swallowsAnswers = false;
  }

  close(): void {
    this.cut();
    this.#server.close();
  }
}
