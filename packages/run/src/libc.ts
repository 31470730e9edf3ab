// SPDX-License-Identifier: Apache-2.0
//
// The C library, and memory that its functions may be handed.
//
// Invariant: addresses are numbers (user space ends below 2^47), results are numbers with -errno for a failure, and
// whatever is passed by address lies outside of the collector's heap and is never freed.

import koffi from 'koffi'

const lib = koffi.load(null)

type Native = (...args: (number | string | readonly (string | null)[])[]) => number

function native(name: string, args: readonly string[], result = 'int64'): Native {
  const fn = lib.func(name, result, [...args])
  return fn as unknown as Native
}

/** A function whose -1 becomes -errno. */
function checked(name: string, args: readonly string[], result = 'int64'): Native {
  const fn = native(name, args, result)
  return (...values) => {
    const rc = fn(...values)
    return rc === -1 ? -koffi.errno() : rc
  }
}

const ADDR = 'uint64'

export const ioctl = checked('ioctl', ['int', 'ulong', ADDR], 'int') as (
  fd: number,
  request: number,
  arg: number,
) => number
export const poll = checked('poll', [ADDR, 'ulong', 'int'], 'int') as (
  fds: number,
  count: number,
  ms: number,
) => number
export const readlink = checked('readlink', [ADDR, ADDR, 'uint64']) as (
  path: number,
  to: number,
  size: number,
) => number
export const processVmReadv: Native = checked('process_vm_readv', [
  'int',
  ADDR,
  'ulong',
  ADDR,
  'ulong',
  'ulong',
])
export const processVmWritev: Native = checked('process_vm_writev', [
  'int',
  ADDR,
  'ulong',
  ADDR,
  'ulong',
  'ulong',
])
export const socketpair: Native = checked('socketpair', ['int', 'int', 'int', ADDR], 'int')
export const socket: Native = checked('socket', ['int', 'int', 'int'], 'int')
export const bind: Native = checked('bind', ['int', ADDR, 'uint'], 'int')
export const listen: Native = checked('listen', ['int', 'int'], 'int')
export const accept4: Native = checked('accept4', ['int', ADDR, ADDR, 'int'], 'int')
export const connect: Native = checked('connect', ['int', ADDR, 'uint'], 'int')
export const getsockopt: Native = checked('getsockopt', ['int', 'int', 'int', ADDR, ADDR], 'int')
export const sendmsg: Native = checked('sendmsg', ['int', ADDR, 'int'])
export const recvmsg: Native = checked('recvmsg', ['int', ADDR, 'int'])
export const send: Native = checked('send', ['int', ADDR, 'uint64', 'int'])
export const recv: Native = checked('recv', ['int', ADDR, 'uint64', 'int'])
export const close = checked('close', ['int'], 'int') as (fd: number) => number
export const fcntl = checked('fcntl', ['int', 'int', 'long'], 'int') as (
  fd: number,
  command: number,
  arg: number,
) => number
export const epollCreate: Native = checked('epoll_create1', ['int'], 'int')
export const epollCtl: Native = checked('epoll_ctl', ['int', 'int', 'int', ADDR], 'int')
export const epollWait: Native = checked('epoll_wait', ['int', ADDR, 'int', 'int'], 'int')
export const memfdCreate: Native = checked('memfd_create', ['str', 'uint'], 'int')
export const ftruncate: Native = checked('ftruncate', ['int', 'int64'], 'int')
export const prlimit: Native = checked('prlimit', ['int', 'int', ADDR, ADDR], 'int')
export const prctl: Native = checked('prctl', ['int', 'ulong', 'ulong', 'ulong', 'ulong'], 'int')
export const ptrace: Native = checked('ptrace', ['int64', 'int64', ADDR, ADDR])
export const waitpid: Native = checked('waitpid', ['int', ADDR, 'int'], 'int')
export const waitid: Native = checked('waitid', ['int', 'int', ADDR, 'int'], 'int')
export const mmap: Native = checked('mmap', [ADDR, 'uint64', 'int', 'int', 'int', 'int64'])
export const munmap: Native = checked('munmap', [ADDR, 'uint64'], 'int')
export const pipe2: Native = checked('pipe2', [ADDR, 'int'], 'int')
export const pread: Native = checked('pread', ['int', ADDR, 'uint64', 'int64'])
export const read: Native = checked('read', ['int', ADDR, 'uint64'])
export const write: Native = checked('write', ['int', ADDR, 'uint64'])
export const memcpy: Native = native('memcpy', [ADDR, ADDR, 'uint64'], 'uint64')
export const signal: Native = native('signal', ['int', 'int64'])
export const sigprocmask: Native = checked('sigprocmask', ['int', ADDR, ADDR], 'int')
export const execvp = checked('execvp', ['str', 'char **'], 'int') as (
  file: string,
  argv: readonly (string | null)[],
) => number
/** Ends the process at once: no handler of Node's runs, so the terminal stays as the program left it. */
export const exitNow = native('_exit', ['int'], 'void') as unknown as (code: number) => never
const rawSyscall = checked('syscall', Array(7).fill('int64'))

/** Any system call, by number. */
export function syscall(nr: number, ...args: number[]): number {
  const [a = 0, b = 0, c = 0, d = 0, e = 0, f = 0] = args
  return rawSyscall(nr, a, b, c, d, e, f)
}

/** Memory at a fixed address. */
export interface Region {
  readonly bytes: Uint8Array<ArrayBuffer>
  readonly words: Int32Array<ArrayBuffer>
  readonly view: DataView<ArrayBuffer>
  readonly address: number
}

const regions: Region[] = []

/** Memory that C may read and write; it is kept for ever. Zeroed. */
export function region(length: number): Region {
  const buffer = Buffer.allocUnsafeSlow(length).fill(0)
  const { buffer: memory, byteOffset } = buffer
  const made: Region = {
    bytes: new Uint8Array(memory, byteOffset, length),
    words: new Int32Array(memory, byteOffset, length >> 2),
    view: new DataView(memory, byteOffset, length),
    address: Number(koffi.address(buffer)),
  }
  regions.push(made)
  return made
}

/** Writes a number that may exceed 32 bits, below 2^53. */
export function setU64(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true)
  view.setUint32(at + 4, Math.floor(value / 0x100000000), true)
}

/** Reads a number below 2^53. */
export function getU64(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x100000000 + view.getUint32(at, true)
}

const LINK_BYTES = 256
const linkPath = region(4096)
const linkText = region(LINK_BYTES)

/** What a symbolic link says, up to 255 bytes; undefined when the path is no link. Far quicker than an exception. */
export function readLink(path: string): string | undefined {
  const { written } = new TextEncoder().encodeInto(path, linkPath.bytes.subarray(0, -1))
  linkPath.bytes[written] = 0
  const length = readlink(linkPath.address, linkText.address, LINK_BYTES)
  if (length <= 0 || length === LINK_BYTES) return undefined
  return Buffer.from(linkText.bytes.subarray(0, length)).toString()
}

/** What is watched: a handle that nobody holds is collected, and nothing is watched any more. */
const handles = new Set<{ close(): void }>()

/** Calls `ready` from the event loop when the descriptor can be read or has been hung up; the function returned ends that. */
export function watch(fd: number, ready: () => void): () => void {
  const handle = koffi.node.poll(fd, { readable: true, disconnect: true }, ready)
  handles.add(handle)
  return () => {
    if (handles.delete(handle)) handle.close()
  }
}
