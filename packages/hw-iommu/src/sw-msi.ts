// SPDX-License-Identifier: Apache-2.0
/**
 * Interrupts that are DMA: the window of IOVAs in which software maps the pages that devices write
 * their interrupts to (SPEC E9, IOMMU_RESV_SW_MSI).
 *
 * Invariant: in one context a page has one IOVA per window, for all groups and tables and for as long
 * as the context lives, so a programmed interrupt stays right when the table is replaced. A table
 * that a group comes to has the pages that the group uses before a device uses the table. Pages leave
 * a table only with the table.
 */
import type { IommufdCtx } from '@iommufd/core'
import { hiOf, loOf } from '@iommufd/core'
import { AREA_READ, AREA_WRITE } from '@iommufd/pages'
import { PAGE_SIZE } from '@iommufd/uapi'
import type { Device } from './device.js'
import type { IommufdHwptPaging } from './hwpt.js'
import { MSI_PAGE_TOO_HIGH, MSI_PAGES_EXHAUSTED } from './refusals.js'

const PAGE_BYTES = BigInt(PAGE_SIZE)
/** Pages of a context. */
const MAX_PAGES = 64
/** Frame numbers are 32 bits. */
const PHYS_END = PAGE_BYTES << 32n

/** An interrupt of a device: what its driver programs into it. */
export class MsiDesc {
  readonly dev: Device
  /** Where the device reaches the interrupt page; undefined: at its physical address. */
  pageIova: bigint | undefined

  constructor(dev: Device) {
    this.dev = dev
  }

  /** The address that the device must write to when the interrupt's physical address is `msiAddr`. */
  address(msiAddr: bigint): bigint {
    return this.pageIova === undefined ? msiAddr : this.pageIova + (msiAddr % PAGE_BYTES)
  }
}

interface MsiPage {
  readonly window: bigint
  readonly phys: bigint
  readonly iova: bigint
}

/** In the order in which they were asked for. */
const pagesOf = new WeakMap<IommufdCtx, MsiPage[]>()
const mappedIn = new WeakMap<IommufdHwptPaging, Set<MsiPage>>()

/** The interrupt pages that the devices of a group use. */
export class GroupMsiPages {
  readonly #ctx: IommufdCtx
  readonly #used = new Set<MsiPage>()

  constructor(ctx: IommufdCtx) {
    this.#ctx = ctx
  }

  /** Maps the pages that are used already into a table that the group will use. */
  prepare(hwpt: IommufdHwptPaging): number {
    for (const page of this.#used) {
      const rc = this.#map(hwpt, page)
      if (rc < 0) return rc
    }
    return 0
  }

  /**
   * Maps the page of the physical address `msiAddr` in the window at `window`: its IOVA, or -ENOMEM,
   * -EOVERFLOW (too many pages), -ERANGE, or what the driver answers.
   */
  use(hwpt: IommufdHwptPaging, window: bigint, msiAddr: bigint): bigint | number {
    const page = this.#find(window, msiAddr - (msiAddr % PAGE_BYTES))
    if (typeof page === 'number') return page
    const rc = this.#map(hwpt, page)
    if (rc < 0) return rc
    this.#used.add(page)
    return page.iova
  }

  #find(window: bigint, phys: bigint): MsiPage | number {
    const { engine } = this.#ctx
    const pages = pagesOf.get(this.#ctx) ?? []
    const ofWindow = pages.filter((page) => page.window === window)
    const known = ofWindow.find((page) => page.phys === phys)
    if (known !== undefined) return known
    if (phys >= PHYS_END) return engine.refusals.refuse(MSI_PAGE_TOO_HIGH, hiOf(phys), loOf(phys))
    if (pages.length === MAX_PAGES) return engine.refusals.refuse(MSI_PAGES_EXHAUSTED, MAX_PAGES)
    const rc = engine.allocate()
    if (rc < 0) return rc
    const page = { window, phys, iova: window + BigInt(ofWindow.length) * PAGE_BYTES }
    pagesOf.set(this.#ctx, [...pages, page])
    return page
  }

  #map(hwpt: IommufdHwptPaging, page: MsiPage): number {
    const mapped = mappedIn.get(hwpt) ?? new Set()
    if (mapped.has(page)) return 0
    const frames = Uint32Array.of(Number(page.phys / PAGE_BYTES))
    const prot = AREA_READ | AREA_WRITE
    const { view } = hwpt
    const rc = view.map(hiOf(page.iova), loOf(page.iova), frames, 0, 0, PAGE_SIZE, prot, false)
    if (rc < 0) return rc
    mappedIn.set(hwpt, mapped.add(page))
    return 0
  }
}
