// SPDX-License-Identifier: Apache-2.0
//
// The seccomp filter: which system calls of a program come to us. A filter sees numbers, never paths or files, so it asks
// for more than is ours; what is not is answered "go on" by the server.
//
// Invariant: a call that is not listed costs the program a few instructions and nothing else; calls of another
// architecture pass.

import type { Arch } from './arch.js'
import { OUR_MMAP } from './limits.js'

/** BPF instruction codes. */
const LD_W_ABS = 0x20
const JEQ = 0x15
const AND = 0x54
const RET = 0x06

const SECCOMP_RET_ALLOW = 0x7fff0000
const SECCOMP_RET_USER_NOTIF = 0x7fc00000

/** Offsets in struct seccomp_data; the low words of the arguments. */
const NR = 0
const AUDIT_ARCH = 4
const argLow = (index: number): number => 16 + 8 * index

/** iommufd's and VFIO's ioctls: type ';'. */
const IOCTL_TYPE_MASK = 0xff00
const IOCTL_TYPE = 0x3b00
/** MAP_TYPE | MAP_ANONYMOUS | MAP_HUGETLB, of which shared anonymous memory has the first two. */
export const MMAP_FLAGS_MASK = 0x4002f
export const SHARED_ANONYMOUS = 0x21
/** MAP_TYPE | MAP_ANONYMOUS, of which shared files have one of these. */
const FILE_FLAGS_MASK = 0x2f
const MAP_SHARED = 1
const MAP_SHARED_VALIDATE = 3

export interface FilterOptions {
  /** Descriptors from this number on have their read and write trapped. */
  readonly trappedFds: number
  /** Ask for every change of a mapping, which a recording has to know of. */
  readonly trackMappings: boolean
}

type Label = 'notify' | 'allow' | 'ioctl' | 'mmap' | 'shared' | 'rw'

interface Instruction {
  readonly code: number
  readonly k: number
  /** where to go when equal; undefined: on */
  readonly equal?: Label
  readonly other?: Label
}

type Line = Instruction | Label

/** The filter as the kernel takes it: 8 bytes for each instruction. */
export function makeFilter({ audit, nr }: Arch, options: FilterOptions): Uint8Array<ArrayBuffer> {
  const watched = [
    ...[nr.open, nr.openat, nr.openat2, nr.stat, nr.lstat, nr.fstat, nr.newfstatat, nr.statx],
    ...[nr.access, nr.faccessat, nr.faccessat2, nr.getdents64],
    ...[nr.mkdir, nr.mkdirat, nr.mknod, nr.mknodat],
    ...[nr.readlink, nr.readlinkat, nr.getxattr, nr.lgetxattr, nr.listxattr, nr.llistxattr],
    ...[nr.setuid, nr.setreuid, nr.setresuid],
    ...[nr.capget, nr.capset],
    ...(options.trackMappings ? [nr.munmap, nr.mremap] : []),
  ]
  const mmap: Label = options.trackMappings ? 'notify' : 'shared'
  const lines: Line[] = [
    { code: LD_W_ABS, k: AUDIT_ARCH },
    { code: JEQ, k: audit, other: 'allow' },
    { code: LD_W_ABS, k: NR },
    // The most frequent one first.
    { code: JEQ, k: nr.ioctl, equal: 'ioctl' },
    { code: JEQ, k: nr.read, equal: 'rw' },
    { code: JEQ, k: nr.write, equal: 'rw' },
    { code: JEQ, k: nr.pread64, equal: 'rw' },
    { code: JEQ, k: nr.pwrite64, equal: 'rw' },
    { code: JEQ, k: nr.mmap, equal: 'mmap' },
    ...watched.map((k): Instruction => ({ code: JEQ, k, equal: 'notify' })),
    { code: RET, k: SECCOMP_RET_ALLOW },
    'ioctl',
    { code: LD_W_ABS, k: argLow(1) },
    { code: AND, k: IOCTL_TYPE_MASK },
    { code: JEQ, k: IOCTL_TYPE, equal: 'notify', other: 'allow' },
    'mmap',
    { code: LD_W_ABS, k: argLow(3) + 4 },
    { code: JEQ, k: OUR_MMAP, equal: 'allow', other: mmap },
    'shared',
    { code: LD_W_ABS, k: argLow(3) },
    { code: AND, k: MMAP_FLAGS_MASK },
    { code: JEQ, k: SHARED_ANONYMOUS, equal: 'notify' },
    { code: LD_W_ABS, k: argLow(3) },
    { code: AND, k: FILE_FLAGS_MASK },
    { code: JEQ, k: MAP_SHARED, equal: 'notify' },
    { code: JEQ, k: MAP_SHARED_VALIDATE, equal: 'notify', other: 'allow' },
    'rw',
    { code: LD_W_ABS, k: argLow(0) },
    { code: AND, k: ~(options.trappedFds - 1) >>> 0 },
    { code: JEQ, k: options.trappedFds, equal: 'notify', other: 'allow' },
    'allow',
    { code: RET, k: SECCOMP_RET_ALLOW },
    'notify',
    { code: RET, k: SECCOMP_RET_USER_NOTIF },
  ]
  return assemble(lines)
}

function assemble(lines: readonly Line[]): Uint8Array<ArrayBuffer> {
  const positions = new Map<Label, number>()
  const instructions: Instruction[] = []
  for (const line of lines) {
    if (typeof line === 'string') positions.set(line, instructions.length)
    else instructions.push(line)
  }
  const code = new Uint8Array(instructions.length * 8)
  const view = new DataView(code.buffer)
  for (const [pc, { code: op, k, equal, other }] of instructions.entries()) {
    const jump = (label: Label | undefined): number =>
      label === undefined ? 0 : (positions.get(label) as number) - pc - 1
    view.setUint16(pc * 8, op, true)
    code[pc * 8 + 2] = jump(equal)
    code[pc * 8 + 3] = jump(other)
    view.setUint32(pc * 8 + 4, k >>> 0, true)
  }
  return code
}
