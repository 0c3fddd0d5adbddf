import koffi from 'koffi';

/*
 * The system calls of the data plane. Every pointer is declared `uint64_t` and passed as a Number (user addresses
 * lie below 2^47), so that a call converts and allocates nothing.
 */

const library = koffi.load('libc.so.6');

type Fd = number;
type Address = number;

function bind<F>(prototype: string): F {
  return library.func(prototype) as unknown as F;
}

export const libc = {
  open: bind<(path: string, flags: number) => Fd>('int open(const char *path, int flags)'),
  close: bind<(fd: Fd) => number>('int close(int fd)'),
  read: bind<(fd: Fd, to: Address, bytes: number) => number>('int64_t read(int fd, uint64_t to, size_t bytes)'),
  write: bind<(fd: Fd, from: Address, bytes: number) => number>('int64_t write(int fd, uint64_t from, size_t bytes)'),
  writev: bind<(fd: Fd, iov: Address, count: number) => number>('int64_t writev(int fd, uint64_t iov, int count)'),
  fcntl: bind<(fd: Fd, command: number, argument: number) => number>(
    'int fcntl(int fd, int command, int64_t argument)',
  ),
  ioctl: bind<(fd: Fd, request: number, argument: Address) => number>(
    'int ioctl(int fd, uint64_t request, uint64_t argument)',
  ),
  socket: bind<(domain: number, type: number, protocol: number) => Fd>(
    'int socket(int domain, int type, int protocol)',
  ),
  bind: bind<(fd: Fd, address: Address, bytes: number) => number>('int bind(int fd, uint64_t address, uint32_t bytes)'),
  connect: bind<(fd: Fd, address: Address, bytes: number) => number>(
    'int connect(int fd, uint64_t address, uint32_t bytes)',
  ),
  getsockname: bind<(fd: Fd, address: Address, bytes: Address) => number>(
    'int getsockname(int fd, uint64_t address, uint64_t bytes)',
  ),
  setsockopt: bind<(fd: Fd, level: number, name: number, value: Address, bytes: number) => number>(
    'int setsockopt(int fd, int level, int name, uint64_t value, uint32_t bytes)',
  ),
  getsockopt: bind<(fd: Fd, level: number, name: number, value: Address, bytes: Address) => number>(
    'int getsockopt(int fd, int level, int name, uint64_t value, uint64_t bytes)',
  ),
  sendmsg: bind<(fd: Fd, message: Address, flags: number) => number>(
    'int64_t sendmsg(int fd, uint64_t message, int flags)',
  ),
  recvmmsg: bind<(fd: Fd, messages: Address, count: number, flags: number, timeout: Address) => number>(
    'int recvmmsg(int fd, uint64_t messages, unsigned int count, int flags, uint64_t timeout)',
  ),
  recvmsg: bind<(fd: Fd, message: Address, flags: number) => number>(
    'int64_t recvmsg(int fd, uint64_t message, int flags)',
  ),
  poll: bind<(fds: Address, count: number, timeoutMs: number) => number>(
    'int poll(uint64_t fds, uint64_t count, int timeoutMs)',
  ),
  usleep: bind<(microseconds: number) => number>('int usleep(uint32_t microseconds)'),
  prctl: bind<(option: number, value: number) => number>('int prctl(int option, uint64_t value)'),
  eventfd: bind<(initial: number, flags: number) => Fd>('int eventfd(uint32_t initial, int flags)'),
  memfdCreate: bind<(name: string, flags: number) => Fd>('int memfd_create(const char *name, uint32_t flags)'),
  ftruncate: bind<(fd: Fd, bytes: number) => number>('int ftruncate(int fd, int64_t bytes)'),
  mmap: bind<(address: Address, bytes: number, protection: number, flags: number, fd: Fd, offset: number) => Address>(
    'int64_t mmap(uint64_t address, size_t bytes, int protection, int flags, int fd, int64_t offset)',
  ),
  munmap: bind<(address: Address, bytes: number) => number>('int munmap(uint64_t address, size_t bytes)'),
  mallocTrim: bind<(padding: number) => number>('int malloc_trim(size_t padding)'),
  clockGettime: bind<(clock: number, to: Address) => number>('int clock_gettime(int clock, uint64_t to)'),
};

const addressOf = library.func('uint64_t memcpy(void *to, uint64_t from, size_t bytes)') as unknown as (
  of: Uint8Array,
  from: number,
  bytes: number,
) => number;

/** The address of a buffer that never moves: that of a WebAssembly.Memory. */
export function addressOfBuffer(buffer: ArrayBufferLike): number {
  return addressOf(new Uint8Array(buffer), 0, 0);
}

/** The errno that the last call of this thread left. */
export function errno(): number {
  return koffi.errno();
}

/** errno values (Linux, all architectures that Node runs on). */
export const EPERM = 1;
export const ENOENT = 2;
export const EINTR = 4;
export const EIO = 5;
export const EBADF = 9;
export const EAGAIN = 11;
export const EACCES = 13;
export const EBUSY = 16;
export const ENODEV = 19;
export const EINVAL = 22;
export const ENOSYS = 38;
export const EBADFD = 77;
export const EMSGSIZE = 90;
export const EOPNOTSUPP = 95;
export const EADDRINUSE = 98;
export const EADDRNOTAVAIL = 99;
export const ENETUNREACH = 101;
export const ENOBUFS = 105;
export const EHOSTUNREACH = 113;

const names: Record<string, number> = koffi.os.errno;

/** A system call failed. `code` is errno's name, as in Node's own errors. */
export class SystemCallError extends Error {
  readonly code: string;
  readonly errno: number;

  /** `what` says what was tried, and on what. */
  constructor(what: string, number: number) {
    const code = Object.keys(names).find((name) => names[name] === number) ?? `errno ${String(number)}`;
    super(`${what}: ${code}`);
    this.name = 'SystemCallError';
    this.code = code;
    this.errno = number;
  }
}
