// SPDX-License-Identifier: Apache-2.0
//
// What depends on the processor: numbers of system calls, where a filter finds them, the registers of a stopped thread.
//
// Invariant: nothing else in this package names a system call's number or a register. A second architecture is a second
// object of this shape; a program of another one than the filter's (a 32-bit one, say) is left alone.

/** System calls that are looked at, or made in a program's stead. */
interface SyscallNumbers {
  readonly open: number
  readonly openat: number
  readonly openat2: number
  readonly stat: number
  readonly lstat: number
  readonly fstat: number
  readonly newfstatat: number
  readonly statx: number
  readonly access: number
  readonly faccessat: number
  readonly faccessat2: number
  readonly getdents64: number
  readonly mkdir: number
  readonly mkdirat: number
  readonly mknod: number
  readonly mknodat: number
  readonly readlink: number
  readonly readlinkat: number
  readonly getxattr: number
  readonly lgetxattr: number
  readonly listxattr: number
  readonly llistxattr: number
  readonly ioctl: number
  readonly mmap: number
  readonly munmap: number
  readonly mremap: number
  readonly mprotect: number
  readonly close: number
  readonly read: number
  readonly write: number
  readonly pread64: number
  readonly pwrite64: number
  readonly setuid: number
  readonly setreuid: number
  readonly setresuid: number
  readonly seccomp: number
  readonly pidfdOpen: number
  readonly pidfdGetfd: number
  readonly pidfdSendSignal: number
  readonly ioUringSetup: number
  readonly ioUringEnter: number
  readonly ioUringRegister: number
  readonly capget: number
  readonly capset: number
}

/** Byte offsets into what PTRACE_GETREGS fills. */
interface RegisterLayout {
  readonly bytes: number
  readonly number: number
  readonly result: number
  /** the number of the interrupted call; -1 keeps the kernel from restarting it */
  readonly original: number
  readonly pc: number
  readonly args: readonly number[]
  /** bytes of the instruction that makes a system call */
  readonly syscallLength: number
}

/** Where struct stat keeps what is filled in. */
interface StatLayout {
  readonly bytes: number
  readonly dev: number
  readonly ino: number
  readonly nlink: number
  readonly mode: number
  readonly uid: number
  readonly gid: number
  readonly rdev: number
  readonly blksize: number
}

export interface Arch {
  /** AUDIT_ARCH_… as the filter sees it */
  readonly audit: number
  readonly nr: SyscallNumbers
  readonly registers: RegisterLayout
  readonly stat: StatLayout
}

const X64: Arch = {
  audit: 0xc000003e,
  nr: {
    open: 2,
    openat: 257,
    openat2: 437,
    stat: 4,
    lstat: 6,
    fstat: 5,
    newfstatat: 262,
    statx: 332,
    access: 21,
    faccessat: 269,
    faccessat2: 439,
    getdents64: 217,
    mkdir: 83,
    mkdirat: 258,
    mknod: 133,
    mknodat: 259,
    readlink: 89,
    readlinkat: 267,
    getxattr: 191,
    lgetxattr: 192,
    listxattr: 194,
    llistxattr: 195,
    ioctl: 16,
    mmap: 9,
    munmap: 11,
    mremap: 25,
    mprotect: 10,
    close: 3,
    read: 0,
    write: 1,
    pread64: 17,
    pwrite64: 18,
    setuid: 105,
    setreuid: 113,
    setresuid: 117,
    seccomp: 317,
    pidfdOpen: 434,
    pidfdGetfd: 438,
    pidfdSendSignal: 424,
    ioUringSetup: 425,
    ioUringEnter: 426,
    ioUringRegister: 427,
    capget: 125,
    capset: 126,
  },
  registers: {
    bytes: 216,
    number: 10 * 8,
    result: 10 * 8,
    original: 15 * 8,
    pc: 16 * 8,
    // rdi rsi rdx r10 r8 r9
    args: [14 * 8, 13 * 8, 12 * 8, 7 * 8, 9 * 8, 8 * 8],
    syscallLength: 2,
  },
  stat: {
    bytes: 144,
    dev: 0,
    ino: 8,
    nlink: 16,
    mode: 24,
    uid: 28,
    gid: 32,
    rdev: 40,
    blksize: 56,
  },
}

/** The description of a processor by Node's name of it, or undefined when programs cannot be run there yet. */
export function archOf(name: string): Arch | undefined {
  return name === 'x64' ? X64 : undefined
}
