// SPDX-License-Identifier: Apache-2.0
/**
 * IOMMU_TEST_CMD (SPEC section 10): its dispatch, and the operations on address spaces and memory.
 *
 * Invariant: an operation that is not registered answers EOPNOTSUPP, as a kernel without it would.
 */
import type { Iommufd, Ucmd } from '@iommufd/core'
import { pageHi, pageLo, pageOf, previousHi, previousLo, sumHi, sumWraps } from '@iommufd/core'
import { Iommu } from '@iommufd/hw-iommu'
import { IOAS, type IopTables } from '@iommufd/pages'
import {
  ENOENT,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_ADD_RESERVED,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
  IOMMU_TEST_OP_DEV_CHECK_CACHE,
  IOMMU_TEST_OP_DIRTY,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_DMABUF_REVOKE,
  IOMMU_TEST_OP_MD_CHECK_IOTLB,
  IOMMU_TEST_OP_MD_CHECK_MAP,
  IOMMU_TEST_OP_MD_CHECK_REFS,
  IOMMU_TEST_OP_MOCK_DOMAIN,
  IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS,
  IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE,
  IOMMU_TEST_OP_PASID_ATTACH,
  IOMMU_TEST_OP_PASID_CHECK_HWPT,
  IOMMU_TEST_OP_PASID_DETACH,
  IOMMU_TEST_OP_PASID_REPLACE,
  IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT,
  IOMMU_TEST_OP_TRIGGER_IOPF,
  IOMMU_TEST_OP_TRIGGER_VEVENT,
  iommu_test_cmd,
  PAGE_SIZE,
} from '@iommufd/uapi'
import {
  accessPages,
  accessRw,
  createAccess,
  destroyAccessPages,
  replaceIoas,
} from './access-ops.js'
import { checkMap, mockDomain, mockDomainReplace } from './device-ops.js'
import { dirty } from './dirty-ops.js'
import { dmaBufGet, dmaBufRevoke } from './dma-buf-ops.js'
import { triggerIopf } from './iopf-ops.js'
import { MockDriver } from './mock-driver.js'
import { pasidAttach, pasidCheckHwpt, pasidDetach, pasidReplace } from './pasid-ops.js'
import {
  MEMORY_LIMIT_TOO_SMALL,
  PAGE_NOT_THERE,
  REFS_DIFFER,
  REFS_MISALIGNED,
  RESERVED_LENGTH_ZERO,
  RESERVED_RANGE_WRAPS,
  TEST_OP_UNKNOWN,
} from './refusals.js'
import { checkDevCache, checkIotlb, triggerVevent } from './viommu-ops.js'

const { at } = iommu_test_cmd
/** Bytes of one entry of a batch: a frame number and a length. */
const BATCH_ENTRY_BYTES = 12
/** Bytes of a pointer to a page. */
const POINTER_BYTES = 8

/** Serves one operation. */
export type TestOp = (ucmd: Ucmd) => number

/** Operations by number; layers above may add theirs. */
export type TestOps = Map<number, TestOp>

/** Registers IOMMU_TEST_CMD, and an IOMMU for its mock devices. */
export function registerSelftest(engine: Iommufd, tables: IopTables): TestOps {
  const iommu = new Iommu(engine)
  iommu.registerDriver(new MockDriver(iommu))
  const ops: TestOps = new Map([
    [IOMMU_TEST_OP_ADD_RESERVED, addReserved],
    [IOMMU_TEST_OP_MOCK_DOMAIN, (ucmd: Ucmd) => mockDomain(ucmd, iommu)],
    [IOMMU_TEST_OP_MOCK_DOMAIN_FLAGS, (ucmd: Ucmd) => mockDomain(ucmd, iommu)],
    [IOMMU_TEST_OP_MOCK_DOMAIN_REPLACE, mockDomainReplace],
    [IOMMU_TEST_OP_PASID_ATTACH, pasidAttach],
    [IOMMU_TEST_OP_PASID_REPLACE, pasidReplace],
    [IOMMU_TEST_OP_PASID_DETACH, pasidDetach],
    [IOMMU_TEST_OP_PASID_CHECK_HWPT, pasidCheckHwpt],
    [IOMMU_TEST_OP_DIRTY, dirty],
    [IOMMU_TEST_OP_DMABUF_GET, dmaBufGet],
    [IOMMU_TEST_OP_DMABUF_REVOKE, dmaBufRevoke],
    [IOMMU_TEST_OP_TRIGGER_IOPF, triggerIopf],
    [IOMMU_TEST_OP_MD_CHECK_IOTLB, checkIotlb],
    [IOMMU_TEST_OP_DEV_CHECK_CACHE, checkDevCache],
    [IOMMU_TEST_OP_TRIGGER_VEVENT, triggerVevent],
    [IOMMU_TEST_OP_MD_CHECK_MAP, checkMap],
    [IOMMU_TEST_OP_MD_CHECK_REFS, checkRefs],
    [IOMMU_TEST_OP_CREATE_ACCESS, createAccess],
    [IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, replaceIoas],
    [IOMMU_TEST_OP_ACCESS_PAGES, accessPages],
    [IOMMU_TEST_OP_ACCESS_RW, accessRw],
    [IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, destroyAccessPages],
    [IOMMU_TEST_OP_SET_TEMP_MEMORY_LIMIT, (ucmd: Ucmd) => setMemoryLimit(ucmd, tables)],
  ])
  engine.commands.register(IOMMU_TEST_CMD, (ucmd) => {
    const op = ops.get(ucmd.u32(at.op))
    return op === undefined ? engine.refusals.refuse(TEST_OP_UNKNOWN, ucmd.word(at.op)) : op(ucmd)
  })
  return ops
}

function addReserved(ucmd: Ucmd): number {
  const { ctx } = ucmd
  const startHi = ucmd.hi(at.add_reserved_start)
  const startLo = ucmd.lo(at.add_reserved_start)
  const lengthHi = ucmd.hi(at.add_reserved_length)
  const lengthLo = ucmd.lo(at.add_reserved_length)
  const { refusals } = ctx.engine
  if (lengthHi === 0 && lengthLo === 0) {
    return refusals.refuse(RESERVED_LENGTH_ZERO, startHi, startLo)
  }
  const lengthM1Hi = previousHi(lengthHi, lengthLo)
  const lengthM1Lo = previousLo(lengthLo)
  if (sumWraps(startHi, startLo, lengthM1Hi, lengthM1Lo)) {
    return refusals.refuse(RESERVED_RANGE_WRAPS, startHi, startLo, lengthHi, lengthLo)
  }
  const ioas = ctx.find(ucmd.word(at.id), IOAS)
  if (ioas === undefined) return -ENOENT
  const lastHi = sumHi(startHi, startLo, lengthM1Hi, lengthM1Lo)
  return ioas.iopt.reserve(startHi, startLo, lastHi, (startLo + lengthM1Lo) | 0)
}

/** Whether each page at uptr of the caller has so many pins. */
function checkRefs(ucmd: Ucmd): number {
  const { refusals, host } = ucmd.ctx.engine
  const hi = ucmd.hi(at.check_refs_uptr)
  const lo = ucmd.lo(at.check_refs_uptr)
  const lengthHi = ucmd.hi(at.check_refs_length)
  const lengthLo = ucmd.lo(at.check_refs_length)
  if (((lo | lengthLo) & (PAGE_SIZE - 1)) !== 0 || sumWraps(hi, lo, lengthHi, lengthLo)) {
    return refusals.refuse(REFS_MISALIGNED, hi, lo, lengthHi, lengthLo)
  }
  const asked = ucmd.word(at.check_refs_refs)
  const end = pageOf(hi, lo) + pageOf(lengthHi, lengthLo)
  for (let page = pageOf(hi, lo); page < end; page++) {
    const frame = ucmd.task.mm.lookup(pageHi(page), pageLo(page))
    if (frame < 0) return refusals.refuse(PAGE_NOT_THERE, pageHi(page), pageLo(page))
    const pins = host.pins(frame)
    if (pins !== asked) {
      return refusals.refuse(REFS_DIFFER, pageHi(page), pageLo(page), pins, asked)
    }
  }
  return 0
}

/** Bounds the memory for frame numbers on their way, and so the pages pinned in one go. */
function setMemoryLimit(ucmd: Ucmd, tables: IopTables): number {
  const limit = ucmd.u32(at.memory_limit_limit)
  if (limit < BATCH_ENTRY_BYTES) {
    return ucmd.ctx.engine.refusals.refuse(MEMORY_LIMIT_TOO_SMALL, limit)
  }
  tables.pages.setBatchPages(Math.floor(limit / POINTER_BYTES))
  return 0
}
