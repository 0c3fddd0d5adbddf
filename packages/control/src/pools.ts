/** The address pools of devices: set once for the service, since addresses in them have been given out. */
import { randomBytes } from 'node:crypto';
import { formatPrefix, parsePrefix } from '@sallyport/policy';
import { seal, sealedSecret } from './store/secrets.ts';
import { SYSTEM, type Store } from './store/store.ts';

export interface Pools {
  readonly pool4: string;
  readonly pool6: string;
}

/** Kept where the service's keys are, although it is no secret: it is drawn by lot once, like them. */
const NAME = 'address-pools';

/**
 * The pools of the service: those wanted the first time, those kept from then on. An IPv4 pool may be made larger as long
 * as it begins with the same address, for then every device keeps its own.
 * @throws Error where others are wanted than those that there are
 */
export async function keepPools(
  store: Store,
  wanted: { readonly pool4: string; readonly pool6?: string | undefined },
): Promise<Pools> {
  const sealed = await sealedSecret(store, NAME, () =>
    Buffer.from(JSON.stringify({ pool4: wanted.pool4, pool6: wanted.pool6 ?? drawPool6() } satisfies Pools)),
  );
  const kept = JSON.parse(sealed.reveal().toString()) as Pools;
  if (wanted.pool6 !== undefined && !isSame(wanted.pool6, kept.pool6)) {
    throw new Error(refusal('pool6', kept.pool6, wanted.pool6));
  }
  if (isSame(wanted.pool4, kept.pool4)) return kept;
  if (!isGrown(kept.pool4, wanted.pool4)) throw new Error(refusal('pool4', kept.pool4, wanted.pool4));
  const grown: Pools = { ...kept, pool4: wanted.pool4 };
  const { masterKey } = store;
  if (masterKey === undefined) throw new Error('The store was opened without a master key');
  await store.write(SYSTEM, async ({ db, audit }) => {
    const text = seal(masterKey, NAME, Buffer.from(JSON.stringify(grown)));
    await db.updateTable('secret').set({ sealed: text }).where('name', '=', NAME).execute();
    await audit('pools.change', { kind: 'settings', id: null, name: 'address pools' }, kept, grown);
  });
  return grown;
}

function refusal(key: string, kept: string, wanted: string): string {
  return (
    `The address pool of this service was set to ${kept} at its first start, and devices have addresses of it: ` +
    `set ${key} = "${kept}" in [network], not "${wanted}"`
  );
}

function isSame(a: string, b: string): boolean {
  const [one, other] = [parsePrefix(a), parsePrefix(b)];
  return one !== undefined && other !== undefined && one.length === other.length && one.value === other.value;
}

function isGrown(from: string, to: string): boolean {
  const [one, other] = [parsePrefix(from), parsePrefix(to)];
  return one !== undefined && other !== undefined && other.length < one.length && one.value === other.value;
}

/** RFC 4193 section 3.2: fd, 40 random bits, then the number of the subnet. */
function drawPool6(): string {
  const value = (0xfdn << 120n) | (BigInt(`0x${randomBytes(5).toString('hex')}`) << 80n) | (1n << 64n);
  return formatPrefix({ family: 6, value, length: 64 });
}
