// SPDX-License-Identifier: Apache-2.0
//
// mmap, munmap and mprotect: Linux's checks of their arguments, in Linux's order, before the address space changes.
// Addresses and lengths are u64 here, as page number and offset; what passes the checks is a run of user pages.

import {
  EACCES,
  EBADF,
  EEXIST,
  EINVAL,
  ENODEV,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_NORESERVE,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  MAP_TYPE,
  PAGE_SIZE,
  PROT_EXEC,
  PROT_READ,
  PROT_WRITE,
} from '@iommufd/uapi'
import { offsetOf, pageOf, TASK_PAGES } from './address.js'
import { type AddressSpace, FAULT_READ, FAULT_WRITE } from './address-space.js'
import type { Frames } from './frames.js'
import { type File, FMODE_READ, FMODE_WRITE, type Task } from './host.js'
import type { Backing } from './mappings.js'
import { Shmem, ShmemFile } from './shmem.js'

const PROT_ALL = PROT_READ | PROT_WRITE | PROT_EXEC
const CAP_SYS_RAWIO = 17
/** PROT_SEM: accepted by mprotect, without meaning on x86. */
const PROT_SEM = 8
/** MAP_32BIT, GROWSDOWN, DENYWRITE, EXECUTABLE, NONBLOCK and STACK: without effect here. */
const IGNORED_FLAGS = 0x40 | 0x100 | 0x800 | 0x1000 | 0x10000 | 0x20000
/** Flags that MAP_SHARED_VALIDATE knows; the older types ignore what they do not know. */
const KNOWN_FLAGS =
  MAP_TYPE | MAP_FIXED | MAP_ANONYMOUS | MAP_LOCKED | MAP_NORESERVE | MAP_POPULATE | IGNORED_FLAGS
/** vm.mmap_min_addr: below, mapping needs CAP_SYS_RAWIO. */
const MIN_PAGE = 16
/** Where the search for a free range begins, downwards: below the room for the stack. */
const TOP_PAGE = TASK_PAGES - 2 ** 15
/** Pages in 2^64 bytes. A device may be mapped below its last page. */
const U64_PAGES = 2 ** 52
/** The same for a file, whose offsets are signed. */
const FILE_PAGES = 2 ** 51

/** The arguments of mmap; u64 ones as page number and byte offset. */
export interface MmapRequest {
  readonly page: number
  readonly pageOffset: number
  /** Length in whole pages, and whether it was 0. */
  readonly pages: number
  readonly prot: number
  readonly flags: number
  /** The file of the descriptor; not looked at for MAP_ANONYMOUS. */
  readonly file: File | undefined
  readonly offsetPage: number
  readonly offsetRest: number
}

/** @returns the first page of the mapping, or -errno */
export function mmap(
  task: Task,
  space: AddressSpace,
  frames: Frames,
  request: MmapRequest,
): number {
  const { flags, pages, prot } = request
  const anonymous = (flags & MAP_ANONYMOUS) !== 0
  if (request.offsetRest !== 0) return -EINVAL
  if (!anonymous && request.file === undefined) return -EBADF
  if ((flags & MAP_HUGETLB) !== 0) return -EINVAL
  if (pages === 0) return -EINVAL
  if (pages >= U64_PAGES) return -ENOMEM
  const page = place(task, space, request)
  if (page < 0) return page
  if ((flags & MAP_LOCKED) !== 0) return -EPERM
  const refused = anonymous ? anonymousRefusal(flags) : fileRefusal(request, request.file as File)
  if (refused !== 0) return refused
  space.unmap(page, page + pages)
  const backing = anonymous
    ? anonymousBacking(frames, request, page)
    : fileBacking(task, request, request.file as File, page)
  if (typeof backing === 'number') return backing
  space.map(page, page + pages, prot & PROT_ALL, backing)
  // Shared anonymous memory is kept by its mappings alone.
  if (anonymous) backing.file?.put()
  if ((flags & MAP_POPULATE) !== 0 && (prot & PROT_ALL) !== 0)
    space.populate(
      page,
      page + pages,
      prot & PROT_WRITE && !backing.shared ? FAULT_WRITE : FAULT_READ,
    )
  return page
}

/** @returns 0 or -errno */
export function munmap(space: AddressSpace, hi: number, lo: number, pages: number): number {
  const page = pageOf(hi, lo)
  if (offsetOf(lo) !== 0 || page > TASK_PAGES || pages > TASK_PAGES - page) return -EINVAL
  if (pages === 0) return -EINVAL
  space.unmap(page, page + pages)
  return 0
}

/** @returns 0 or -errno */
export function mprotect(
  space: AddressSpace,
  hi: number,
  lo: number,
  pages: number,
  prot: number,
): number {
  if (offsetOf(lo) !== 0) return -EINVAL
  if (pages === 0) return 0
  const page = pageOf(hi, lo)
  if (page + pages >= U64_PAGES) return -ENOMEM
  if ((prot & ~(PROT_ALL | PROT_SEM)) !== 0) return -EINVAL
  return space.protect(page, page + pages, prot & PROT_ALL)
}

/** Where the mapping goes: the page asked for when fixed or free, else the highest gap. */
function place(task: Task, space: AddressSpace, request: MmapRequest): number {
  const { flags, pages } = request
  if (pages > TASK_PAGES) return -ENOMEM
  let page = request.page
  if ((flags & (MAP_FIXED | MAP_FIXED_NOREPLACE)) === 0) {
    const fits = page >= MIN_PAGE && page + pages <= TASK_PAGES
    if (!fits || space.overlaps(page, page + pages))
      page = space.highestGap(pages, MIN_PAGE, TOP_PAGE)
    return page < 0 ? -ENOMEM : page
  }
  if (page > TASK_PAGES - pages) return -ENOMEM
  if (request.pageOffset !== 0) return -EINVAL
  if (page < MIN_PAGE && !task.capable(CAP_SYS_RAWIO)) return -EPERM
  if ((flags & MAP_FIXED_NOREPLACE) !== 0 && space.overlaps(page, page + pages)) return -EEXIST
  return page
}

function anonymousRefusal(flags: number): number {
  const type = flags & MAP_TYPE
  return type === MAP_SHARED || type === MAP_PRIVATE ? 0 : -EINVAL
}

function fileRefusal(request: MmapRequest, file: File): number {
  const { flags, pages, prot, offsetPage } = request
  const limit = file instanceof ShmemFile ? FILE_PAGES : U64_PAGES
  if (offsetPage + pages >= limit) return -EOVERFLOW
  const type = flags & MAP_TYPE
  if (type !== MAP_SHARED && type !== MAP_PRIVATE && type !== MAP_SHARED_VALIDATE) return -EINVAL
  if (type === MAP_SHARED_VALIDATE && (flags & ~KNOWN_FLAGS) !== 0) return -EOPNOTSUPP
  const writes = type !== MAP_PRIVATE && (prot & PROT_WRITE) !== 0
  if (writes && (file.mode & FMODE_WRITE) === 0) return -EACCES
  if ((file.mode & FMODE_READ) === 0) return -EACCES
  return file instanceof ShmemFile || file.ops.mmap !== undefined ? 0 : -ENODEV
}

function anonymousBacking(frames: Frames, request: MmapRequest, page: number): Backing {
  if ((request.flags & MAP_TYPE) === MAP_PRIVATE)
    return { shared: false, mayWrite: true, origin: page }
  const shmem = new Shmem(frames, request.pages * PAGE_SIZE)
  const file = new ShmemFile('/dev/zero', shmem)
  return { shared: true, mayWrite: true, origin: page, file, shmem }
}

function fileBacking(task: Task, request: MmapRequest, file: File, page: number): Backing | number {
  const { flags, pages, prot, offsetPage } = request
  const shared = (flags & MAP_TYPE) !== MAP_PRIVATE
  const mayWrite = !shared || (file.mode & FMODE_WRITE) !== 0
  if (file instanceof ShmemFile)
    return { shared, mayWrite, origin: page - offsetPage, file, shmem: file.shmem }
  const device = file.ops.mmap?.(task, pages * PAGE_SIZE, prot & PROT_ALL, shared, offsetPage)
  if (typeof device !== 'object') return device ?? -ENODEV
  return { shared, mayWrite, origin: page, file, device }
}
