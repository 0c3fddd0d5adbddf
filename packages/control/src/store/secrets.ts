/**
 * Keys of the service, sealed in the database with a master key that lies in a file beside it: whoever gets at the database
 * alone gets none of them.
 */
import { Secret } from '@sallyport/core';
import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { closeSync, constants, fchmodSync, fstatSync, fsyncSync, openSync, readFileSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Transaction } from 'kysely';
import type { Database } from './schema.ts';
import { SYSTEM, type Store } from './store.ts';

const keyLength = 32;
const nonceLength = 12;
const tagLength = 16;
/** A secret that shows whether a master key is the right one. */
const checkName = 'master-key-check';

/**
 * Reads the master key, or makes it where the database holds nothing that was sealed with one. Called within a
 * transaction, of which there is one at a time.
 * @throws Error when the key is missing, wrong, or not private
 */
export async function openMasterKey(db: Transaction<Database>, path: string): Promise<Secret<Buffer>> {
  const check = await db.selectFrom('secret').select('sealed').where('name', '=', checkName).executeTakeFirst();
  let key = readMasterKey(path);
  if (key === undefined) {
    if (check !== undefined) {
      throw new Error(
        `The master key ${path} is missing, and the database holds keys that were sealed with it: put it back from a ` +
          'backup, or copy it from another control node',
      );
    }
    key = new Secret(randomBytes(keyLength));
    writeMasterKey(path, key);
  }
  if (check === undefined) {
    await db
      .insertInto('secret')
      .values({ name: checkName, sealed: seal(key, checkName, Buffer.alloc(0)) })
      .execute();
  } else if (unseal(key, checkName, check.sealed) === undefined) {
    throw new Error(
      `The master key ${path} is not the one that the keys in the database were sealed with: put the right one back ` +
        'from a backup, or copy it from another control node',
    );
  }
  return key;
}

/** Undefined where there is none. @throws Error when it is no key, or others can read it */
export function readMasterKey(path: string): Secret<Buffer> | undefined {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw new Error(`The master key ${path} cannot be read: ${(error as Error).message}`, { cause: error });
  }
  try {
    if ((fstatSync(file).mode & 0o077) !== 0) {
      throw new Error(`The master key ${path} can be read by others: chmod 600 ${path}`);
    }
    const key = readFileSync(file);
    if (key.length !== keyLength) {
      throw new Error(`The master key ${path} must be ${keyLength} bytes and is ${key.length}`);
    }
    return new Secret(key);
  } finally {
    closeSync(file);
  }
}

/** Writes a new file with mode 0600, durably. @throws Error when there is one already, or it can't be written */
export function writeMasterKey(path: string, key: Secret<Buffer>): void {
  let file: number;
  try {
    file = openSync(path, 'wx', 0o600);
  } catch (error) {
    throw new Error(`The master key ${path} cannot be written: ${(error as Error).message}`, { cause: error });
  }
  try {
    fchmodSync(file, 0o600);
    writeSync(file, key.reveal());
    fsyncSync(file);
  } finally {
    closeSync(file);
  }
  const folder = openSync(dirname(path), 'r');
  fsyncSync(folder);
  closeSync(folder);
}

/** The secret `name`, which `create` makes the first time that any control node asks. */
export async function sealedSecret(store: Store, name: string, create: () => Buffer): Promise<Secret<Buffer>> {
  const { masterKey } = store;
  if (masterKey === undefined) throw new Error('The store was opened without a master key');
  const find = (db: Store['db']) =>
    db.selectFrom('secret').select('sealed').where('name', '=', name).executeTakeFirst();
  let row = await find(store.db);
  row ??= await store.write(SYSTEM, async ({ db }) => {
    const existing = await find(db);
    if (existing !== undefined) return existing;
    const sealed = seal(masterKey, name, create());
    await db.insertInto('secret').values({ name, sealed }).execute();
    return { sealed };
  });
  const value = unseal(masterKey, name, row.sealed);
  if (value === undefined) throw new Error(`The sealed key "${name}" in the database was changed`);
  return new Secret(value);
}

/** AES-256-GCM with the name as additional data, so that one secret can't be put in another's place: nonce, tag, ciphertext. */
export function seal(key: Secret<Buffer>, name: string, value: Buffer): string {
  const nonce = randomBytes(nonceLength);
  const cipher = createCipheriv('aes-256-gcm', key.reveal(), nonce).setAAD(Buffer.from(name));
  const ciphertext = Buffer.concat([cipher.update(value), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), ciphertext]).toString('base64');
}

/** Undefined when the key is another one, or the text was changed. */
export function unseal(key: Secret<Buffer>, name: string, sealed: string): Buffer | undefined {
  const bytes = Buffer.from(sealed, 'base64');
  if (bytes.length < nonceLength + tagLength) return undefined;
  const decipher = createDecipheriv('aes-256-gcm', key.reveal(), bytes.subarray(0, nonceLength), {
    authTagLength: tagLength,
  });
  decipher.setAAD(Buffer.from(name));
  decipher.setAuthTag(bytes.subarray(nonceLength, nonceLength + tagLength));
  try {
    return Buffer.concat([decipher.update(bytes.subarray(nonceLength + tagLength)), decipher.final()]);
  } catch {
    return undefined;
  }
}
