// SPDX-License-Identifier: Apache-2.0
/**
 * The in-kernel user that tests steer: a descriptor with an access behind it (SPEC section 10).
 *
 * Invariant: every range that the access has pinned is an item with an id, counted up per access and
 * never used twice; when a range is unmapped its items are gone before the callback returns. Closing
 * the last descriptor unpins what is left and ends the access.
 */
import { IommufdAccess, type IommufdAccessOps } from '@iommufd/access'
import { hiOf, type IommufdCtx, loOf } from '@iommufd/core'
import { File, type FileOperations } from '@iommufd/host'

interface Item {
  readonly id: number
  readonly iova: bigint
  readonly length: bigint
}

const plainOps: IommufdAccessOps<TestAccess> = {
  unmap: (access, iova, length) => access.unpinRange(iova, length),
}

const pinOps: IommufdAccessOps<TestAccess> = { ...plainOps, needs_pin_pages: true }

export class TestAccess implements FileOperations {
  readonly file: File
  /** The IOVA of the call in progress. */
  iovaHi = 0
  iovaLo = 0
  #access: IommufdAccess<TestAccess> | undefined
  readonly #items = new Map<number, Item>()
  #nextId = 0

  constructor() {
    this.file = new File('[iommufd_test_staccess]', this)
  }

  /** Creates and attaches the access: 0 or a negative errno; `file.put()` undoes it. */
  open(ctx: IommufdCtx, needsPinPages: boolean, ioasId: number): number {
    const access = IommufdAccess.create(ctx, needsPinPages ? pinOps : plainOps, this)
    if (typeof access === 'number') return access
    this.#access = access
    return access.attach(ioasId)
  }

  get access(): IommufdAccess<TestAccess> {
    if (this.#access === undefined) throw new Error('the test access is not open')
    return this.#access
  }

  /** Remembers a pinned range; returns its id. */
  addItem(iova: bigint, length: bigint): number {
    const id = this.#nextId++
    this.#items.set(id, { id, iova, length })
    return id
  }

  /** Unpins and forgets the range with this id; false if there is none. */
  dropItem(id: number): boolean {
    const item = this.#items.get(id)
    if (item === undefined) return false
    this.#drop(item)
    return true
  }

  /** Unpins and forgets every range that touches [iova, iova + length). */
  unpinRange(iova: bigint, length: bigint): void {
    const last = iova + length - 1n
    for (const item of this.#items.values()) {
      if (iova <= item.iova + item.length - 1n && item.iova <= last) this.#drop(item)
    }
  }

  /** The end of the access asks for everything, so no item is left. */
  release(): void {
    this.#access?.close()
  }

  #drop({ id, iova, length }: Item): void {
    this.#items.delete(id)
    this.access.unpinPages(hiOf(iova), loOf(iova), hiOf(length), loOf(length))
  }
}
