import assert from 'node:assert/strict';
import { before, describe, test } from 'node:test';
import { SeededRandom } from '@sallyport/testkit';
import {
  admitByProfile,
  ClientEnd,
  cryptV2,
  makeCertificates,
  ServerEnd,
  World,
  type Certificates,
} from './simulation-world.ts';

const SERVER = '192.0.2.1:1194';
let certificates: Certificates;
before(async () => {
  certificates = await makeCertificates();
});

describe('first', () => {
  test('connects', async () => {
    const world = new World(new SeededRandom(1), certificates);
    const { key, wrap } = cryptV2(world.crypto, 2);
    const server = new ServerEnd(world, SERVER, { key, authenticate: admitByProfile });
    const client = new ClientEnd(world, '192.0.2.2:5000', SERVER, 2, { wrap }).start();
    await world.run(3000);
    console.log(client.reports, server.reports, server.server.counters, client.client.state);
    client.sendPacket(1);
    server.sendTo(2, 7);
    await world.run(100);
    console.log(server.received, client.received, server.drops, client.drops);
    assert.ok(client.isConnected);
    world.close();
  });
});
