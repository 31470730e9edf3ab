// SPDX-License-Identifier: Apache-2.0
/**
 * An in-kernel user of an address space (SPEC E7, section 5).
 *
 * Invariant: an access is attached to at most one address space and is one of its users; whatever it
 * has pinned lies there. Before it leaves, its `unmap` callback has been asked to let everything go.
 * It holds a reference to its context, and user space cannot destroy it by its id.
 */
import {
  differenceHi,
  type Iommufd,
  type IommufdCtx,
  IommufdObject,
  nextHi,
  nextLo,
  previousHi,
  previousLo,
  sumHi,
  sumWraps,
  toBigInt,
} from '@iommufd/core'
import {
  IOAS,
  type IommufdIoas,
  type IoptAccess,
  pinRange,
  rwRange,
  unpinRange,
} from '@iommufd/pages'
import { ENOENT, PAGE_SIZE } from '@iommufd/uapi'
import type { IommufdAccessOps } from './api.js'
import { IOMMUFD_ACCESS_RW_WRITE } from './api.js'
import {
  ACCESS_ATTACHED_ALREADY,
  ACCESS_LEAVING,
  ACCESS_LENGTH_ZERO,
  ACCESS_NOT_ATTACHED,
  ACCESS_RANGE_WRAPS,
  ACCESS_WITHOUT_PINNING,
} from './refusals.js'

export class IommufdAccess<Data = unknown> extends IommufdObject implements IoptAccess {
  readonly typeName: string = 'ACCESS'
  readonly ctx: IommufdCtx
  readonly ops: IommufdAccessOps<Data>
  readonly data: Data
  readonly alignment: number
  #ioas: IommufdIoas | undefined
  /** Where unpinning still works while the access is on its way out. */
  #ioasUnpin: IommufdIoas | undefined

  /** Use `create`. */
  constructor(ctx: IommufdCtx, ops: IommufdAccessOps<Data>, data: Data) {
    super()
    this.ctx = ctx
    this.ops = ops
    this.data = data
    this.alignment = ops.needs_pin_pages === true ? PAGE_SIZE : 1
  }

  /** A new access, not attached: the access, or a negative errno. */
  static create<Data>(
    ctx: IommufdCtx,
    ops: IommufdAccessOps<Data>,
    data: Data,
  ): IommufdAccess<Data> | number {
    const rc = ctx.engine.allocate()
    if (rc < 0) return rc
    const access = new IommufdAccess(ctx.get(), ops, data)
    access.users = 1
    ctx.objects.reserve(access)
    ctx.objects.finalize(access)
    return access
  }

  /** The address space that the access is attached to. */
  get ioas(): IommufdIoas | undefined {
    return this.#ioas
  }

  attach(ioasId: number): number {
    if (this.#ioas !== undefined) return this.#engine.refusals.refuse(ACCESS_ATTACHED_ALREADY)
    return this.#changeTo(ioasId)
  }

  replace(ioasId: number): number {
    if (this.#ioas === undefined) return this.#engine.refusals.refuse(ACCESS_NOT_ATTACHED)
    return this.#changeTo(ioasId)
  }

  detach(): void {
    if (this.#ioas === undefined) this.#engine.warn('detach of an access that is not attached')
    else this.#change(undefined)
  }

  /** Ends the access: detaches it and gives its reference to the context back. */
  close(): void {
    if (this.users === 0) {
      this.#engine.warn('destroy of an access that is gone')
      return
    }
    this.users = 0
    this.ctx.objects.remove(this)
  }

  override destroy(): void {
    if (this.#ioas !== undefined) this.#change(undefined)
    this.ctx.put()
  }

  /** Copies `length` bytes (below 2^31) between `data[at…]` and the IOVA: 0 or a negative errno. */
  rw(
    iovaHi: number,
    iovaLo: number,
    data: Uint8Array,
    at: number,
    length: number,
    flags: number,
  ): number {
    const rc = this.#checkRange(iovaHi, iovaLo, 0, length)
    if (rc < 0) return rc
    const ioas = this.#ioas
    if (ioas === undefined) return this.#engine.refusals.refuse(ACCESS_NOT_ATTACHED)
    return rwRange(ioas.iopt, iovaHi, iovaLo, data, at, length, flags)
  }

  /**
   * Pins the pages of the range, one frame number for each into `frames`: 0 or a negative errno.
   * The same range must be given to `unpinPages`.
   */
  pinPages(
    iovaHi: number,
    iovaLo: number,
    lengthHi: number,
    lengthLo: number,
    frames: Uint32Array,
    flags: number,
  ): number {
    const { refusals } = this.#engine
    if (this.ops.needs_pin_pages !== true || this.ops.unmap === undefined) {
      return refusals.refuse(ACCESS_WITHOUT_PINNING)
    }
    const rc = this.#checkRange(iovaHi, iovaLo, lengthHi, lengthLo)
    if (rc < 0) return rc
    const ioas = this.#ioas
    if (ioas === undefined) return refusals.refuse(ACCESS_NOT_ATTACHED)
    const lengthM1Hi = previousHi(lengthHi, lengthLo)
    const lengthM1Lo = previousLo(lengthLo)
    const lastHi = sumHi(iovaHi, iovaLo, lengthM1Hi, lengthM1Lo)
    const lastLo = (iovaLo + lengthM1Lo) | 0
    const isWrite = (flags & IOMMUFD_ACCESS_RW_WRITE) !== 0
    return pinRange(ioas.iopt, iovaHi, iovaLo, lastHi, lastLo, isWrite, frames)
  }

  /** Gives one pin of the range back. */
  unpinPages(iovaHi: number, iovaLo: number, lengthHi: number, lengthLo: number): void {
    const ioas = this.#ioasUnpin
    if (ioas === undefined) {
      this.#engine.warn('unpin by an access that is not attached')
      return
    }
    const lengthM1Hi = previousHi(lengthHi, lengthLo)
    const lengthM1Lo = previousLo(lengthLo)
    const lastHi = sumHi(iovaHi, iovaLo, lengthM1Hi, lengthM1Lo)
    unpinRange(ioas.iopt, iovaHi, iovaLo, lastHi, (iovaLo + lengthM1Lo) | 0)
  }

  /** Called by the address space: [iova, last] is about to go. */
  unmap(iovaHi: number, iovaLo: number, lastHi: number, lastLo: number): void {
    if (this.ops.unmap === undefined) return
    const spanHi = differenceHi(lastHi, lastLo, iovaHi, iovaLo)
    const spanLo = (lastLo - iovaLo) | 0
    const length = toBigInt(nextHi(spanHi, spanLo), nextLo(spanLo))
    this.ops.unmap(this.data, toBigInt(iovaHi, iovaLo), length)
  }

  get #engine(): Iommufd {
    return this.ctx.engine
  }

  #checkRange(iovaHi: number, iovaLo: number, lengthHi: number, lengthLo: number): number {
    const { refusals } = this.#engine
    if (lengthHi === 0 && lengthLo === 0) return refusals.refuse(ACCESS_LENGTH_ZERO, iovaHi, iovaLo)
    if (sumWraps(iovaHi, iovaLo, previousHi(lengthHi, lengthLo), previousLo(lengthLo))) {
      return refusals.refuse(ACCESS_RANGE_WRAPS, iovaHi, iovaLo, lengthHi, lengthLo)
    }
    return 0
  }

  #changeTo(ioasId: number): number {
    const ioas = this.ctx.find(ioasId, IOAS)
    return ioas === undefined ? -ENOENT : this.#change(ioas)
  }

  /** Joins the new address space before it leaves the old one, which it may fail to do. */
  #change(next: IommufdIoas | undefined): number {
    const previous = this.#ioas
    if (previous !== this.#ioasUnpin) return this.#engine.refusals.refuse(ACCESS_LEAVING)
    if (previous === next) return 0
    this.#ioas = undefined
    if (next !== undefined) {
      const rc = next.iopt.addAccess(this)
      if (rc < 0) {
        this.#ioas = previous
        return rc
      }
      next.users++
    }
    if (previous !== undefined) this.#leave(previous)
    this.#ioas = next
    this.#ioasUnpin = next
    return 0
  }

  /** Has the callback let everything go, for which unpinning still works. */
  #leave(ioas: IommufdIoas): void {
    this.unmap(0, 0, -1, -2)
    ioas.iopt.removeAccess(this)
    ioas.users--
  }
}
