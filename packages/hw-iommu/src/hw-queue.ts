// SPDX-License-Identifier: Apache-2.0
/**
 * Hardware queues: guest memory that the hardware reads by itself, as a queue of a vIOMMU (SPEC L14,
 * section 1).
 *
 * Invariant: a queue is a user of its vIOMMU and holds its memory as long as it lives. The driver
 * can make one queue depend on another, which then outlives it.
 */
import {
  IommufdObject,
  pageOf,
  previousHi,
  previousLo,
  sumHi,
  sumWraps,
  type Ucmd,
} from '@iommufd/core'
import { ENOENT, iommu_hw_queue_alloc, PAGE_SIZE } from '@iommufd/uapi'
import { refuseForDriver } from './driver-refusal.js'
import { HwQueueMemory } from './hw-queue-memory.js'
import {
  HW_QUEUE_EMPTY,
  HW_QUEUE_FLAGS_OR_TYPE,
  HW_QUEUE_OUT_OF_RANGE,
  HW_QUEUE_TOO_LONG,
  HW_QUEUE_UNSUPPORTED,
  HW_QUEUE_WRAPS,
} from './refusals.js'
import { type IommufdViommu, VIOMMU } from './viommu.js'

const { at } = iommu_hw_queue_alloc
const OFFSET_MASK = PAGE_SIZE - 1
/** Linux keeps a pointer of 8 bytes per page, in at most 2^31 - 1 bytes. */
const MAX_PAGES = 2 ** 28 - 1

export class IommufdHwQueue extends IommufdObject {
  readonly typeName: string = 'HW_QUEUE'
  readonly viommu: IommufdViommu
  /** IOMMU_HW_QUEUE_TYPE_* */
  readonly type: number
  /** First byte, in the nesting parent's address space. */
  readonly baseHi: number
  readonly baseLo: number
  memory: HwQueueMemory | undefined
  /** Whether the driver knows it. */
  isKnown = false

  constructor(viommu: IommufdViommu, type: number, baseHi: number, baseLo: number) {
    super()
    this.viommu = viommu
    this.type = type
    this.baseHi = baseHi
    this.baseLo = baseLo
    viommu.users++
  }

  override destroy(): void {
    if (this.isKnown) this.viommu.ops.hwQueueDestroy?.(this)
    this.memory?.release()
    this.viommu.users--
  }
}

/** IOMMU_HW_QUEUE_ALLOC. */
export function hwQueueAlloc(ucmd: Ucmd): number {
  const checked = checkFields(ucmd)
  if (checked < 0) return checked
  const { ctx } = ucmd
  const { engine } = ctx
  const viommu = ctx.find(ucmd.word(at.viommu_id), VIOMMU)
  if (viommu === undefined) return -ENOENT
  const type = ucmd.u32(at.type)
  const { ops } = viommu
  if (ops.hwQueueInit === undefined || ops.supportsHwQueue?.(type) !== true) {
    return engine.refusals.refuse(HW_QUEUE_UNSUPPORTED, viommu.id, type | 0)
  }
  const rc = engine.allocate()
  if (rc < 0) return rc
  const { hi, lo } = iovaOf(ucmd)
  return make(ucmd, new IommufdHwQueue(viommu, type, hi, lo))
}

function make(ucmd: Ucmd, queue: IommufdHwQueue): number {
  const { objects } = ucmd.ctx
  objects.reserve(queue)
  ucmd.setWord(at.out_hw_queue_id, queue.id)
  const rc = takeMemory(ucmd, queue) || init(ucmd, queue) || ucmd.respond(iommu_hw_queue_alloc.size)
  if (rc < 0) {
    queue.destroy()
    objects.abort(queue)
    return rc
  }
  objects.finalize(queue)
  return 0
}

function checkFields(ucmd: Ucmd): number {
  const { refusals } = ucmd.ctx.engine
  const flags = ucmd.word(at.flags)
  const type = ucmd.word(at.type)
  if (flags !== 0 || type === 0) return refusals.refuse(HW_QUEUE_FLAGS_OR_TYPE, flags, type)
  const { hi, lo } = iovaOf(ucmd)
  const [lengthHi, lengthLo] = [ucmd.hi(at.length), ucmd.lo(at.length)]
  if ((lengthHi | lengthLo) === 0) return refusals.refuse(HW_QUEUE_EMPTY)
  if (!sumWraps(hi, lo, previousHi(lengthHi, lengthLo), previousLo(lengthLo))) return 0
  return refusals.refuse(HW_QUEUE_WRAPS, hi, lo, lengthHi, lengthLo)
}

function takeMemory(ucmd: Ucmd, queue: IommufdHwQueue): number {
  const { ctx } = ucmd
  const { hi, lo } = iovaOf(ucmd)
  const lessHi = previousHi(ucmd.hi(at.length), ucmd.lo(at.length))
  const lessLo = previousLo(ucmd.lo(at.length))
  const lastHi = sumHi(hi, lo, lessHi, lessLo)
  const lastLo = (lo + lessLo) | 0
  const rc = checkPages(ucmd, pageOf(lastHi, lastLo) - pageOf(hi, lo) + 1)
  if (rc < 0) return rc
  const memory = HwQueueMemory.take(ctx, queue.viommu.hwpt.ioas, hi, lo, lastHi, lastLo)
  if (typeof memory === 'number') return memory
  queue.memory = memory
  return 0
}

/** Whole pages are taken: their bytes must be a u64, and a list of them must be possible. */
function checkPages(ucmd: Ucmd, pages: number): number {
  const { refusals } = ucmd.ctx.engine
  const [lengthHi, lengthLo] = [ucmd.hi(at.length), ucmd.lo(at.length)]
  const slack = (iovaOf(ucmd).lo & OFFSET_MASK) + OFFSET_MASK
  if (sumWraps(lengthHi, lengthLo, 0, slack)) {
    return refusals.refuse(HW_QUEUE_OUT_OF_RANGE, lengthHi, lengthLo)
  }
  return pages > MAX_PAGES ? refusals.refuse(HW_QUEUE_TOO_LONG, lengthHi, lengthLo) : 0
}

function init(ucmd: Ucmd, queue: IommufdHwQueue): number {
  const { iommu, ops } = queue.viommu
  const base = queue.memory?.base ?? 0
  const rc = ops.hwQueueInit?.(queue, ucmd.u32(at.index), base) ?? 0
  if (rc < 0) return refuseForDriver(ucmd.ctx.engine, iommu, rc)
  queue.isKnown = true
  return 0
}

function iovaOf(ucmd: Ucmd): { hi: number; lo: number } {
  return { hi: ucmd.hi(at.nesting_parent_iova), lo: ucmd.lo(at.nesting_parent_iova) }
}
