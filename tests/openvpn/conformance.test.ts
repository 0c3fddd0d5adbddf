/** What every tunnel protocol must pass, whatever it is: each through the whole suite of testkit. */
import { before, describe, test } from 'node:test';
import { CONFORMANCE_TESTS, SeededRandom } from '@sallyport/testkit';
import { openVpn } from './conformance-openvpn.ts';
import { wireguard } from './conformance-wireguard.ts';
import { makeCertificates, type Certificates } from './simulation-world.ts';

let certificates: Certificates;
before(async () => {
  certificates = await makeCertificates();
});

for (const protocol of [wireguard, openVpn('v2', () => certificates), openVpn('epoch', () => certificates)])
  describe(protocol.name, () => {
    for (const { name, run } of CONFORMANCE_TESTS)
      test(name, async (context) => {
        const seed = Number(process.env['TEST_SEED'] ?? 1 + Math.floor(Math.random() * 0x7ffffffe));
        context.diagnostic(`TEST_SEED=${String(seed)}`);
        await run(protocol, new SeededRandom(seed));
      });
  });
