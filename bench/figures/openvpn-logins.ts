import { setTimeout as delay } from 'node:timers/promises';
import { shareCores } from '../cores.ts';
import { Pairs, type Figure } from '../figure.ts';
import { makeCredentials } from '../openvpn/credentials.ts';
import { REFERENCE, sides, startServer, twoHosts } from '../openvpn/ends.ts';
import { logIn } from '../openvpn/load.ts';

const WARM_UP = 500;
const LOGINS = 2000;
const UNDER_WAY = 64;
const LOGINS_MS = 120_000;

/** Logins that one core's time is enough for, whether or not the load on the other core keeps it busy. */
export const openvpnHandshakes: Figure = {
  names: ['openvpn-handshakes'],
  about:
    `OpenVPN logins until the push reply (certificate of P-256, X25519, tls-crypt-v2), ${String(UNDER_WAY)} under way, ` +
    "a second of the server's processor time, all of its threads bound to one core",
  timeoutMs: ({ pairs }) => 60_000 + pairs * 2 * LOGINS_MS,
  async run(context) {
    const rates = new Pairs();
    const credentials = await makeCredentials(context.laboratory);
    const cores = shareCores();
    const order = { credentials, warmUp: WARM_UP, logins: LOGINS, underWay: UNDER_WAY, timeoutMs: LOGINS_MS };
    for (let pair = 0; pair < context.pairs; pair++)
      for (const [side, whose] of sides) {
        context.progress(`pair ${String(pair + 1)} of ${String(context.pairs)}, ${side}`);
        const { near, far } = await twoHosts(context.laboratory, `${side}-${String(pair)}`);
        const server = await startServer(whose, far, { credentials, pingSeconds: 60, core: cores.device });
        const { report, process } = await logIn(near, server, order, cores.generator);
        rates.add(side, 'logins', report.connected / report.serverSeconds);
        await Promise.all([process.stop(), server.stop()]);
      }
    return rates.comparisons({
      figure: 'openvpn-handshakes',
      unit: '1/s',
      reference: REFERENCE,
      goal: { of: 'ratio', atLeast: 1 },
    });
  },
};

const SESSIONS = 10_000;
const SESSIONS_MS = 300_000;
/** Whatever a server puts off is its memory too. */
const SETTLE_MS = 2000;

/** What sessions weigh that say nothing. */
export const openvpnSessions: Figure = {
  names: ['openvpn-sessions'],
  about: `resident memory that a server grows by with ${String(SESSIONS)} OpenVPN clients, a client`,
  timeoutMs: ({ pairs }) => 60_000 + times(pairs) * 2 * SESSIONS_MS,
  async run(context) {
    const memory = new Pairs();
    const credentials = await makeCredentials(context.laboratory);
    const order = { credentials, warmUp: WARM_UP, logins: SESSIONS, underWay: UNDER_WAY, timeoutMs: SESSIONS_MS };
    for (let time = 0; time < times(context.pairs); time++)
      for (const [side, whose] of sides) {
        context.progress(`${String(SESSIONS)} sessions, ${side}`);
        const { near, far } = await twoHosts(context.laboratory, `${side}-${String(time)}`);
        const server = await startServer(whose, far, { credentials, pingSeconds: 600 });
        const { report, process } = await logIn(near, server, order);
        await delay(SETTLE_MS);
        const grown = server.residentBytes() - report.serverBytes;
        memory.add(side, 'memory a session', grown / report.connected / 1024);
        await Promise.all([process.stop(), server.stop()]);
      }
    return memory.comparisons({ figure: 'openvpn-sessions', unit: 'KiB', reference: REFERENCE, goal: { of: 'ours' } });
  },
};

function times(pairs: number): number {
  return Math.min(pairs, 2);
}
