// SPDX-License-Identifier: Apache-2.0
/**
 * Which command is served by whom, and the small commands: IOAS_ALLOC, NOIOMMU_GET_PA and
 * IOMMU_OPTION_HUGE_PAGES (SPEC C2, C9, L15).
 *
 * Invariant: an address space becomes visible only when its id has been written back.
 */
import { type Iommufd, optionOp, refuseOp, type Ucmd } from '@iommufd/core'
import {
  ENOENT,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_ALLOW_IOVAS,
  IOMMU_IOAS_CHANGE_PROCESS,
  IOMMU_IOAS_COPY,
  IOMMU_IOAS_IOVA_RANGES,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_IOAS_NOIOMMU_GET_PA,
  IOMMU_IOAS_UNMAP,
  IOMMU_OPTION_HUGE_PAGES,
  IOMMU_OPTION_OP_GET,
  IOMMU_OPTION_OP_SET,
  iommu_ioas_alloc,
  iommu_option,
} from '@iommufd/uapi'
import { ioasChangeProcess } from './change-process.js'
import { IOAS, IommufdIoas } from './ioas.js'
import { ioasCopy, ioasMap, ioasMapFile, ioasUnmap } from './ioas-map.js'
import { ioasAllowIovas, ioasIovaRanges } from './ioas-ranges.js'
import { IopTables } from './iop-tables.js'
import { FLAGS_UNKNOWN, HUGE_PAGES_VALUE, NOIOMMU_ABSENT } from './refusals.js'

/** Registers IOAS objects and their commands; the tables are shared with the layers above. */
export function registerIoas(engine: Iommufd): IopTables {
  const tables = new IopTables(engine)
  const { commands } = engine
  commands.register(IOMMU_IOAS_ALLOC, (ucmd) => ioasAlloc(ucmd, tables))
  commands.register(IOMMU_IOAS_ALLOW_IOVAS, ioasAllowIovas)
  commands.register(IOMMU_IOAS_COPY, ioasCopy)
  commands.register(IOMMU_IOAS_IOVA_RANGES, ioasIovaRanges)
  commands.register(IOMMU_IOAS_MAP, ioasMap)
  commands.register(IOMMU_IOAS_MAP_FILE, ioasMapFile)
  commands.register(IOMMU_IOAS_UNMAP, ioasUnmap)
  commands.register(IOMMU_IOAS_CHANGE_PROCESS, ioasChangeProcess)
  commands.register(IOMMU_IOAS_NOIOMMU_GET_PA, (ucmd) =>
    ucmd.ctx.engine.refusals.refuse(NOIOMMU_ABSENT),
  )
  engine.options.set(IOMMU_OPTION_HUGE_PAGES, hugePages)
  return tables
}

function ioasAlloc(ucmd: Ucmd, tables: IopTables): number {
  const { ctx } = ucmd
  const { engine } = ctx
  const flags = ucmd.word(iommu_ioas_alloc.at.flags)
  if (flags !== 0) return engine.refusals.refuse(FLAGS_UNKNOWN, flags, 0)
  const rc = engine.allocate()
  if (rc < 0) return rc
  const ioas = new IommufdIoas(tables)
  ctx.objects.reserve(ioas)
  ucmd.setWord(iommu_ioas_alloc.at.out_ioas_id, ioas.id)
  const responded = ucmd.respond(iommu_ioas_alloc.size)
  if (responded < 0) {
    ctx.objects.abort(ioas)
    return responded
  }
  ctx.objects.finalize(ioas)
  return 0
}

/** IOMMU_OPTION_HUGE_PAGES: 0 aligns every area to pages, 1 lets areas be as they come. */
function hugePages(ucmd: Ucmd): number {
  const { ctx } = ucmd
  const { at } = iommu_option
  const ioas = ctx.find(ucmd.word(at.object_id), IOAS)
  if (ioas === undefined) return -ENOENT
  const op = optionOp(ucmd)
  if (op === IOMMU_OPTION_OP_GET) {
    ucmd.setU64(at.val64, 0, ioas.iopt.largePagesDisabled ? 0 : 1)
    return 0
  }
  if (op !== IOMMU_OPTION_OP_SET) return refuseOp(ucmd)
  const hi = ucmd.hi(at.val64)
  const lo = ucmd.lo(at.val64)
  if (hi === 0 && lo === 0) return ioas.iopt.disableLargePages()
  if (hi !== 0 || lo !== 1) return ctx.engine.refusals.refuse(HUGE_PAGES_VALUE, hi, lo)
  ioas.iopt.enableLargePages()
  return 0
}
