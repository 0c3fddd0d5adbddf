import koffi from 'koffi';

/*
 * OpenSSL's public EVP interface. Every pointer is declared `uint64_t` and passed as a Number (user addresses lie
 * below 2^47), so that a call converts and allocates nothing.
 */

type Address = number;
/** 1 if it went well, mostly. */
type Status = number;

function bindAll(library: ReturnType<typeof koffi.load>) {
  const bind = <F>(prototype: string): F => library.func(prototype) as unknown as F;
  return {
    clearErrors: bind<() => void>('void ERR_clear_error()'),

    fetchDigest: bind<(context: Address, name: string, properties: Address) => Address>(
      'uint64_t EVP_MD_fetch(uint64_t context, const char *name, uint64_t properties)',
    ),
    digest: bind<
      (data: Address, bytes: number, to: Address, written: Address, digest: Address, engine: Address) => Status
    >('int EVP_Digest(uint64_t data, size_t bytes, uint64_t to, uint64_t written, uint64_t digest, uint64_t engine)'),

    fetchMac: bind<(context: Address, name: string, properties: Address) => Address>(
      'uint64_t EVP_MAC_fetch(uint64_t context, const char *name, uint64_t properties)',
    ),
    newMacContext: bind<(mac: Address) => Address>('uint64_t EVP_MAC_CTX_new(uint64_t mac)'),
    macInit: bind<(c: Address, key: Address, bytes: number, parameters: Address) => Status>(
      'int EVP_MAC_init(uint64_t c, uint64_t key, size_t bytes, uint64_t parameters)',
    ),
    macUpdate: bind<(c: Address, data: Address, bytes: number) => Status>(
      'int EVP_MAC_update(uint64_t c, uint64_t data, size_t bytes)',
    ),
    macFinal: bind<(c: Address, to: Address, written: Address, bytes: number) => Status>(
      'int EVP_MAC_final(uint64_t c, uint64_t to, uint64_t written, size_t bytes)',
    ),

    newCipherContext: bind<() => Address>('uint64_t EVP_CIPHER_CTX_new()'),
    fetchCipher: bind<(context: Address, name: string, properties: Address) => Address>(
      'uint64_t EVP_CIPHER_fetch(uint64_t context, const char *name, uint64_t properties)',
    ),
    cipherInit: bind<
      (c: Address, cipher: Address, engine: Address, key: Address, iv: Address, encrypt: number) => Status
    >('int EVP_CipherInit_ex(uint64_t c, uint64_t cipher, uint64_t engine, uint64_t key, uint64_t iv, int encrypt)'),
    /** As `cipherInit`, with parameters. */
    cipherInit2: bind<
      (c: Address, cipher: Address, key: Address, iv: Address, encrypt: number, parameters: Address) => Status
    >(
      'int EVP_CipherInit_ex2(uint64_t c, uint64_t cipher, uint64_t key, uint64_t iv, int encrypt, uint64_t parameters)',
    ),
    cipherParameters: bind<(c: Address, parameters: Address) => Status>(
      'int EVP_CIPHER_CTX_get_params(uint64_t c, uint64_t parameters)',
    ),
    cipherPadding: bind<(c: Address, padding: number) => Status>(
      'int EVP_CIPHER_CTX_set_padding(uint64_t c, int padding)',
    ),
    cipherUpdate: bind<(c: Address, to: Address, written: Address, from: Address, bytes: number) => Status>(
      'int EVP_CipherUpdate(uint64_t c, uint64_t to, uint64_t written, uint64_t from, int bytes)',
    ),
    cipherFinal: bind<(c: Address, to: Address, written: Address) => Status>(
      'int EVP_CipherFinal_ex(uint64_t c, uint64_t to, uint64_t written)',
    ),
    cipherControl: bind<(c: Address, type: number, argument: number, pointer: Address) => Status>(
      'int EVP_CIPHER_CTX_ctrl(uint64_t c, int type, int argument, uint64_t pointer)',
    ),

    randomBytes: bind<(to: Address, bytes: number) => Status>('int RAND_bytes(uint64_t to, int bytes)'),

    newPrivateKey: bind<(type: number, engine: Address, key: Address, bytes: number) => Address>(
      'uint64_t EVP_PKEY_new_raw_private_key(int type, uint64_t engine, uint64_t key, size_t bytes)',
    ),
    newPublicKey: bind<(type: number, engine: Address, key: Address, bytes: number) => Address>(
      'uint64_t EVP_PKEY_new_raw_public_key(int type, uint64_t engine, uint64_t key, size_t bytes)',
    ),
    publicKey: bind<(key: Address, to: Address, bytes: Address) => Status>(
      'int EVP_PKEY_get_raw_public_key(uint64_t key, uint64_t to, uint64_t bytes)',
    ),
    freeKey: bind<(key: Address) => void>('void EVP_PKEY_free(uint64_t key)'),
    newKeyContext: bind<(key: Address, engine: Address) => Address>(
      'uint64_t EVP_PKEY_CTX_new(uint64_t key, uint64_t engine)',
    ),
    freeKeyContext: bind<(c: Address) => void>('void EVP_PKEY_CTX_free(uint64_t c)'),
    deriveInit: bind<(c: Address) => Status>('int EVP_PKEY_derive_init(uint64_t c)'),
    deriveSetPeer: bind<(c: Address, peer: Address, validate: number) => Status>(
      'int EVP_PKEY_derive_set_peer_ex(uint64_t c, uint64_t peer, int validate)',
    ),
    derive: bind<(c: Address, to: Address, bytes: Address) => Status>(
      'int EVP_PKEY_derive(uint64_t c, uint64_t to, uint64_t bytes)',
    ),
  };
}

function load(): ReturnType<typeof bindAll> {
  // The official node binary exports the OpenSSL that it is built with; distributions link the shared one.
  for (const name of [null, 'libcrypto.so.3']) {
    try {
      return bindAll(koffi.load(name));
    } catch {
      continue;
    }
  }
  throw new Error("OpenSSL's functions are neither in this node binary nor in libcrypto.so.3: install OpenSSL 3");
}

export const libcrypto = load();

export const EVP_CTRL_AEAD_GET_TAG = 0x10;
export const EVP_CTRL_AEAD_SET_TAG = 0x11;
/** NID_X25519 */
export const EVP_PKEY_X25519 = 1034;
