// SPDX-License-Identifier: Apache-2.0
/**
 * The test operations on accesses (SPEC section 10): create, pin, unpin, read and write, replace.
 *
 * Invariant: an access is found by a descriptor of the calling process, whichever context's
 * descriptor the command was made on. What fails after pinning is unpinned again.
 */
import { sumHi, toBigInt, type Ucmd } from '@iommufd/core'
import { resolveNthArea } from '@iommufd/pages'
import {
  iommu_test_cmd,
  MOCK_ACCESS_RW_SLOW_PATH,
  MOCK_ACCESS_RW_WRITE,
  MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
  MOCK_FLAGS_ACCESS_SYZ,
  MOCK_FLAGS_ACCESS_WRITE,
  PAGE_SIZE,
} from '@iommufd/uapi'
import {
  ACCESS_CANNOT_PIN,
  ACCESS_TOO_LARGE,
  FD_IS_NO_ACCESS,
  NO_FREE_DESCRIPTOR,
  PAGE_NOT_THERE,
  PAGES_DIFFER,
  PINNED_ITEM_UNKNOWN,
  TEST_FLAGS_UNKNOWN,
} from './refusals.js'
import { TestAccess } from './test-access.js'

const { at } = iommu_test_cmd
const MAX_BYTES = 16 * 1024 * 1024
const OFFSET_MASK = PAGE_SIZE - 1

export function createAccess(ucmd: Ucmd): number {
  const { ctx, task } = ucmd
  const { refusals } = ctx.engine
  const flags = ucmd.word(at.create_access_flags)
  const known = MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES
  if ((flags & ~known) !== 0) return refusals.refuse(TEST_FLAGS_UNKNOWN, flags, known)
  const fd = task.unusedFd()
  if (fd < 0) return refusals.refuse(NO_FREE_DESCRIPTOR)
  const testAccess = new TestAccess()
  ucmd.setWord(at.create_access_out_access_fd, fd)
  let rc = testAccess.open(ctx, (flags & known) !== 0, ucmd.word(at.id))
  if (rc === 0) rc = ucmd.respond(iommu_test_cmd.size)
  if (rc < 0) testAccess.file.put()
  else task.installFile(testAccess.file)
  return rc
}

export function replaceIoas(ucmd: Ucmd): number {
  const testAccess = findAccess(ucmd)
  if (typeof testAccess === 'number') return testAccess
  return testAccess.access.replace(ucmd.word(at.access_replace_ioas_ioas_id))
}

export function accessRw(ucmd: Ucmd): number {
  const { engine } = ucmd.ctx
  const lengthHi = ucmd.hi(at.access_rw_length)
  const length = ucmd.u32(at.access_rw_length)
  if (isTooLarge(lengthHi, length)) {
    return engine.refusals.refuse(ACCESS_TOO_LARGE, lengthHi, length | 0)
  }
  const flags = ucmd.word(at.access_rw_flags)
  const known = MOCK_ACCESS_RW_WRITE | MOCK_ACCESS_RW_SLOW_PATH | MOCK_FLAGS_ACCESS_SYZ
  if ((flags & ~known) !== 0) return engine.refusals.refuse(TEST_FLAGS_UNKNOWN, flags, known)
  const testAccess = findAccess(ucmd)
  if (typeof testAccess === 'number') return testAccess
  const rc = engine.allocate()
  return rc < 0 ? rc : copyThrough(ucmd, testAccess, length, flags)
}

/** Between the caller's buffer and the address space, by way of a buffer of the kernel's. */
function copyThrough(ucmd: Ucmd, testAccess: TestAccess, length: number, flags: number): number {
  const { task } = ucmd
  const { engine } = ucmd.ctx
  const data = new Uint8Array(length)
  const userHi = ucmd.hi(at.access_rw_uptr)
  const userLo = ucmd.lo(at.access_rw_uptr)
  const isWrite = (flags & MOCK_ACCESS_RW_WRITE) !== 0
  if (isWrite) {
    const rc = engine.copyFromUser(task, userHi, userLo, data, 0, length)
    if (rc < 0) return rc
  }
  readIova(ucmd, testAccess, at.access_rw_iova, flags)
  const { access, iovaHi, iovaLo } = testAccess
  const rc = access.rw(iovaHi, iovaLo, data, 0, length, flags)
  if (rc < 0 || isWrite) return rc
  return engine.copyToUser(task, userHi, userLo, data, 0, length)
}

export function accessPages(ucmd: Ucmd): number {
  const { engine } = ucmd.ctx
  const lengthHi = ucmd.hi(at.access_pages_length)
  const lengthLo = ucmd.lo(at.access_pages_length)
  if (isTooLarge(lengthHi, lengthLo >>> 0)) {
    return engine.refusals.refuse(ACCESS_TOO_LARGE, lengthHi, lengthLo)
  }
  const flags = ucmd.word(at.access_pages_flags)
  const known = MOCK_FLAGS_ACCESS_WRITE | MOCK_FLAGS_ACCESS_SYZ
  if ((flags & ~known) !== 0) return engine.refusals.refuse(TEST_FLAGS_UNKNOWN, flags, known)
  const testAccess = findAccess(ucmd)
  if (typeof testAccess === 'number') return testAccess
  if (testAccess.access.ops.needs_pin_pages !== true) {
    return engine.refusals.refuse(ACCESS_CANNOT_PIN)
  }
  const rc = engine.allocate()
  return rc < 0 ? rc : pinPages(ucmd, testAccess, flags)
}

/** Pins, compares with what the caller sees at uptr, and answers with the item's id. */
function pinPages(ucmd: Ucmd, testAccess: TestAccess, flags: number): number {
  readIova(ucmd, testAccess, at.access_pages_iova, flags)
  const { access, iovaHi, iovaLo } = testAccess
  const lengthLo = ucmd.lo(at.access_pages_length)
  const offset = iovaLo & OFFSET_MASK
  const frames = new Uint32Array(Math.ceil((offset + (lengthLo >>> 0)) / PAGE_SIZE))
  const rc = access.pinPages(iovaHi, iovaLo, 0, lengthLo, frames, flags & MOCK_FLAGS_ACCESS_WRITE)
  if (rc < 0) return rc
  const compared = comparePages(ucmd, frames, offset) || ucmd.ctx.engine.allocate()
  if (compared < 0) {
    access.unpinPages(iovaHi, iovaLo, 0, lengthLo)
    return compared
  }
  const id = testAccess.addItem(toBigInt(iovaHi, iovaLo), toBigInt(0, lengthLo))
  ucmd.setWord(at.access_pages_out_access_pages_id, id)
  const responded = ucmd.respond(iommu_test_cmd.size)
  if (responded < 0) testAccess.dropItem(id)
  return responded
}

/** Whether the caller's memory at uptr consists of the pinned frames; a null uptr skips this. */
function comparePages(ucmd: Ucmd, frames: Uint32Array, offset: number): number {
  const { refusals } = ucmd.ctx.engine
  const userHi = ucmd.hi(at.access_pages_uptr)
  const userLo = ucmd.lo(at.access_pages_uptr)
  if (userHi === 0 && userLo === 0) return 0
  for (let i = 0; i < frames.length; i++) {
    const delta = i * PAGE_SIZE - offset
    const hi = sumHi(userHi, userLo, delta < 0 ? -1 : 0, delta)
    const lo = (userLo + delta) | 0
    const frame = ucmd.task.mm.lookup(hi, lo)
    if (frame < 0) return refusals.refuse(PAGE_NOT_THERE, hi, lo)
    const pinned = frames[i] as number
    if (frame !== pinned) return refusals.refuse(PAGES_DIFFER, hi, lo, frame, pinned)
  }
  return 0
}

export function destroyAccessPages(ucmd: Ucmd): number {
  const testAccess = findAccess(ucmd)
  if (typeof testAccess === 'number') return testAccess
  const id = ucmd.word(at.destroy_access_pages_access_pages_id)
  if (testAccess.dropItem(id)) return 0
  return ucmd.ctx.engine.refusals.refuse(PINNED_ITEM_UNKNOWN, id)
}

/** Notes the IOVA of the call, which a flag lets be named by the number of its area. */
function readIova(ucmd: Ucmd, testAccess: TestAccess, iovaAt: number, flags: number): void {
  testAccess.iovaHi = ucmd.hi(iovaAt)
  testAccess.iovaLo = ucmd.lo(iovaAt)
  if ((flags & MOCK_FLAGS_ACCESS_SYZ) === 0) return
  const iopt = testAccess.access.ioas?.iopt
  if (iopt !== undefined) resolveNthArea(iopt, testAccess.iovaHi, testAccess.iovaLo)
  testAccess.iovaHi = iopt?.iovaHi ?? 0
  testAccess.iovaLo = iopt?.iovaLo ?? 0
}

/** The access behind the descriptor in `id`. */
function findAccess(ucmd: Ucmd): TestAccess | number {
  const fd = ucmd.word(at.id)
  const file = ucmd.task.file(fd)
  if (file?.ops instanceof TestAccess) return file.ops
  return ucmd.ctx.engine.refusals.refuse(FD_IS_NO_ACCESS, fd)
}

function isTooLarge(lengthHi: number, lengthLo: number): boolean {
  return lengthHi !== 0 || lengthLo > MAX_BYTES
}
