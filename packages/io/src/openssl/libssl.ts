import koffi from 'koffi';

/*
 * OpenSSL's TLS, and what of X.509 it needs. Every pointer is declared `uint64_t` and passed as a Number (user addresses
 * lie below 2^47), so that a call converts and allocates nothing.
 */

type Address = number;
/** 1 if it went well, mostly. */
type Status = number;

function bindAll(library: ReturnType<typeof koffi.load>) {
  const bind = <F>(prototype: string): F => library.func(prototype) as unknown as F;
  // OpenSSL's `verify_callback`: whatever is wrong with a certificate, the handshake goes on. What was found stays as the
  // session's verify result.
  const prototype = koffi.pointer(koffi.proto('int sallyport_verify(int good, uint64_t store)'));
  const goOn = koffi.register(() => 1, prototype);
  const setVerify = bind<(c: Address, mode: number, callback: unknown) => void>(
    'void SSL_CTX_set_verify(uint64_t c, int mode, sallyport_verify *callback)',
  );
  return {
    lastError: bind<() => number>('unsigned long ERR_peek_last_error()'),
    reasonOf: bind<(error: number) => string | null>('const char *ERR_reason_error_string(unsigned long error)'),
    clearErrors: bind<() => void>('void ERR_clear_error()'),

    serverMethod: bind<() => Address>('uint64_t TLS_server_method()'),
    clientMethod: bind<() => Address>('uint64_t TLS_client_method()'),
    newContext: bind<(method: Address) => Address>('uint64_t SSL_CTX_new(uint64_t method)'),
    freeContext: bind<(c: Address) => void>('void SSL_CTX_free(uint64_t c)'),
    contextControl: bind<(c: Address, command: number, argument: number, pointer: Address) => Status>(
      'long SSL_CTX_ctrl(uint64_t c, int command, long argument, uint64_t pointer)',
    ),
    setOptions: bind<(c: Address, options: number) => number>(
      'uint64_t SSL_CTX_set_options(uint64_t c, uint64_t options)',
    ),
    setTickets: bind<(c: Address, count: number) => Status>('int SSL_CTX_set_num_tickets(uint64_t c, size_t count)'),
    setCipherList: bind<(c: Address, list: string) => Status>(
      'int SSL_CTX_set_cipher_list(uint64_t c, const char *list)',
    ),
    setCipherSuites: bind<(c: Address, list: string) => Status>(
      'int SSL_CTX_set_ciphersuites(uint64_t c, const char *list)',
    ),
    useCertificate: bind<(c: Address, certificate: Address) => Status>(
      'int SSL_CTX_use_certificate(uint64_t c, uint64_t certificate)',
    ),
    usePrivateKey: bind<(c: Address, key: Address) => Status>('int SSL_CTX_use_PrivateKey(uint64_t c, uint64_t key)'),
    checkPrivateKey: bind<(c: Address) => Status>('int SSL_CTX_check_private_key(uint64_t c)'),
    certificateStore: bind<(c: Address) => Address>('uint64_t SSL_CTX_get_cert_store(uint64_t c)'),
    addToStore: bind<(store: Address, certificate: Address) => Status>(
      'int X509_STORE_add_cert(uint64_t store, uint64_t certificate)',
    ),
    addClientAuthority: bind<(c: Address, certificate: Address) => Status>(
      'int SSL_CTX_add_client_CA(uint64_t c, uint64_t certificate)',
    ),
    /** Asks for the peer's certificate, and goes on whatever it is. */
    askForCertificate: (c: Address): void => {
      setVerify(c, SSL_VERIFY_PEER, goOn);
    },

    newSession: bind<(c: Address) => Address>('uint64_t SSL_new(uint64_t c)'),
    freeSession: bind<(s: Address) => void>('void SSL_free(uint64_t s)'),
    setBuffers: bind<(s: Address, read: Address, write: Address) => void>(
      'void SSL_set_bio(uint64_t s, uint64_t read, uint64_t write)',
    ),
    accept: bind<(s: Address) => void>('void SSL_set_accept_state(uint64_t s)'),
    connect: bind<(s: Address) => void>('void SSL_set_connect_state(uint64_t s)'),
    shakeHands: bind<(s: Address) => Status>('int SSL_do_handshake(uint64_t s)'),
    read: bind<(s: Address, to: Address, bytes: number) => number>('int SSL_read(uint64_t s, uint64_t to, int bytes)'),
    write: bind<(s: Address, from: Address, bytes: number) => number>(
      'int SSL_write(uint64_t s, uint64_t from, int bytes)',
    ),
    errorOf: bind<(s: Address, result: number) => number>('int SSL_get_error(uint64_t s, int result)'),
    verifyResult: bind<(s: Address) => number>('long SSL_get_verify_result(uint64_t s)'),
    verifyText: bind<(result: number) => string>('const char *X509_verify_cert_error_string(long result)'),
    peerCertificate: bind<(s: Address) => Address>('uint64_t SSL_get0_peer_certificate(uint64_t s)'),
    exportKey: bind<
      (
        s: Address,
        to: Address,
        bytes: number,
        label: string,
        labelBytes: number,
        context: Address,
        contextBytes: number,
        withContext: number,
      ) => Status
    >(
      'int SSL_export_keying_material(uint64_t s, uint64_t to, size_t bytes, const char *label, size_t labelBytes, ' +
        'uint64_t context, size_t contextBytes, int withContext)',
    ),

    memoryBuffers: bind<() => Address>('uint64_t BIO_s_mem()'),
    newBuffer: bind<(type: Address) => Address>('uint64_t BIO_new(uint64_t type)'),
    freeBuffer: bind<(b: Address) => Status>('int BIO_free(uint64_t b)'),
    readBuffer: bind<(b: Address, to: Address, bytes: number) => number>(
      'int BIO_read(uint64_t b, uint64_t to, int bytes)',
    ),
    writeBuffer: bind<(b: Address, from: Address, bytes: number) => number>(
      'int BIO_write(uint64_t b, uint64_t from, int bytes)',
    ),

    readCertificate: bind<(b: Address, to: Address, callback: Address, password: Address) => Address>(
      'uint64_t PEM_read_bio_X509(uint64_t b, uint64_t to, uint64_t callback, uint64_t password)',
    ),
    readPrivateKey: bind<(b: Address, to: Address, callback: Address, password: Address) => Address>(
      'uint64_t PEM_read_bio_PrivateKey(uint64_t b, uint64_t to, uint64_t callback, uint64_t password)',
    ),
    /** `to` is where the pointer is that it writes to, and moves on. */
    writeCertificate: bind<(certificate: Address, to: Address) => number>(
      'int i2d_X509(uint64_t certificate, uint64_t to)',
    ),
    freeCertificate: bind<(certificate: Address) => void>('void X509_free(uint64_t certificate)'),
    freeKey: bind<(key: Address) => void>('void EVP_PKEY_free(uint64_t key)'),
  };
}

function load(): ReturnType<typeof bindAll> {
  // The system's libssl would work on the libcrypto that a node binary exports, which may be another version's: all of it is
  // taken from one or the other.
  try {
    const own = koffi.load(null);
    return bindAll(exportsOpenSsl(own) ? own : koffi.load('libssl.so.3'));
  } catch (cause) {
    const message = "OpenSSL's TLS is neither in this node binary nor in libssl.so.3: install OpenSSL 3";
    throw new Error(message, { cause });
  }
}

function exportsOpenSsl(library: ReturnType<typeof koffi.load>): boolean {
  try {
    library.func('void ERR_clear_error()');
    return true;
  } catch {
    return false;
  }
}

export let libssl: ReturnType<typeof bindAll>;

/** To be called before {@link libssl} is used: most processes never do, and to bind all of it takes milliseconds. */
export function loadLibssl(): void {
  libssl ??= load();
}

const SSL_VERIFY_PEER = 1;
export const SSL_ERROR_WANT_READ = 2;
export const SSL_ERROR_ZERO_RETURN = 6;
export const SSL_CTRL_MODE = 33;
export const SSL_CTRL_SET_SESS_CACHE_MODE = 44;
export const SSL_CTRL_CHAIN_CERT = 89;
export const SSL_CTRL_SET_GROUPS_LIST = 92;
export const SSL_CTRL_SET_MIN_PROTO_VERSION = 123;
export const SSL_CTRL_SET_MAX_PROTO_VERSION = 124;
export const SSL_SESS_CACHE_OFF = 0;
export const SSL_MODE_NO_AUTO_CHAIN = 0x8;
export const SSL_MODE_RELEASE_BUFFERS = 0x10;
export const X509_V_OK = 0;
/** ERR_LIB_PEM and PEM_R_NO_START_LINE, as they are noted. */
export const PEM_NO_START_LINE = 0x0480006c;
