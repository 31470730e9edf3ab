// SPDX-License-Identifier: Apache-2.0
/**
 * Memory of a guest that the hardware uses as a queue (SPEC L14, C8).
 *
 * Invariant: while it is held its pages are pinned, contiguous for the hardware, and mapped where they
 * are: the areas are locked. It is held by an in-kernel user of the address space that has an id like
 * any other, which user space cannot destroy.
 */
import { type IommufdCtx, IommufdObject } from '@iommufd/core'
import { type IommufdIoas, type IoptAccess, lockRange, unlockRange } from '@iommufd/pages'
import { PAGE_SIZE } from '@iommufd/uapi'
import { HW_QUEUE_NOT_CONTIGUOUS } from './refusals.js'

const OFFSET_MASK = PAGE_SIZE - 1

/** An in-kernel user of the engine's own, without a callback: what it pins is locked. */
class InternalAccess extends IommufdObject implements IoptAccess {
  readonly typeName: string = 'ACCESS'
  readonly alignment: number = PAGE_SIZE
  readonly ioas: IommufdIoas

  constructor(ioas: IommufdIoas) {
    super()
    this.ioas = ioas
    this.users = 1
    ioas.users++
  }

  unmap(): void {}

  override destroy(): void {
    this.ioas.users--
  }
}

/** Pages of an address space, whole ones, from the one that holds the first byte on. */
export class HwQueueMemory {
  readonly #ctx: IommufdCtx
  readonly #access: InternalAccess
  readonly #iovaHi: number
  readonly #iovaLo: number
  readonly #lastHi: number
  readonly #lastLo: number
  /** Physical address of the byte at the IOVA asked for: exact, below 2^53. */
  base = 0

  private constructor(
    ctx: IommufdCtx,
    ioas: IommufdIoas,
    iovaHi: number,
    iovaLo: number,
    lastHi: number,
    lastLo: number,
  ) {
    this.#ctx = ctx
    this.#access = new InternalAccess(ioas)
    this.#iovaHi = iovaHi
    this.#iovaLo = iovaLo & ~OFFSET_MASK
    this.#lastHi = lastHi
    this.#lastLo = lastLo | OFFSET_MASK
  }

  /**
   * Takes the pages that hold [iova, last]: the memory, or -ENOMEM, -EADDRINUSE (areas are not
   * aligned to pages), -ENOENT (a hole), -EPERM (not mapped for reading), -EINVAL (memory does not
   * begin where a page does), -EFAULT (pages do not follow each other).
   */
  static take(
    ctx: IommufdCtx,
    ioas: IommufdIoas,
    iovaHi: number,
    iovaLo: number,
    lastHi: number,
    lastLo: number,
  ): HwQueueMemory | number {
    const rc = ctx.engine.allocate()
    if (rc < 0) return rc
    const memory = new HwQueueMemory(ctx, ioas, iovaHi, iovaLo, lastHi, lastLo)
    const taken = memory.#enter(iovaLo & OFFSET_MASK)
    return taken < 0 ? taken : memory
  }

  /** Gives everything back. */
  release(): void {
    this.#unlock()
    this.#leave()
  }

  #enter(offset: number): number {
    const { ioas } = this.#access
    this.#ctx.objects.reserve(this.#access)
    this.#ctx.objects.finalize(this.#access)
    const added = ioas.iopt.addAccess(this.#access)
    const rc = added < 0 ? added : this.#lock(offset)
    if (rc < 0) this.#leave()
    return rc
  }

  #leave(): void {
    const access = this.#access
    access.ioas.iopt.removeAccess(access)
    access.users = 0
    this.#ctx.objects.remove(access)
  }

  #lock(offset: number): number {
    const { iopt } = this.#access.ioas
    const frames = lockRange(iopt, this.#iovaHi, this.#iovaLo, this.#lastHi, this.#lastLo)
    if (typeof frames === 'number') return frames
    const first = frames[0] as number
    this.base = first * PAGE_SIZE + offset
    const stray = frames.findIndex((frame, i) => frame !== first + i)
    if (stray < 0) return 0
    this.#unlock()
    return this.#ctx.engine.refusals.refuse(HW_QUEUE_NOT_CONTIGUOUS, stray)
  }

  #unlock(): void {
    const { iopt } = this.#access.ioas
    unlockRange(iopt, this.#iovaHi, this.#iovaLo, this.#lastHi, this.#lastLo)
  }
}
