// SPDX-License-Identifier: Apache-2.0
//
// Devices behind page tables of a real format, attached to address spaces that a program maps its memory into.

import {
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_FIXED_IOVA,
  IOMMU_IOAS_MAP_READABLE,
  IOMMU_IOAS_MAP_WRITEABLE,
  iommu_ioas_map,
} from '@iommufd/uapi'
import type { DeviceDma, DmaFault, IommufdDevice } from '../src/index.js'
import { Rig } from '../src/testing/rig.js'
import { type FormatName, type TableDevice, TableDriver, tableDriver } from './table-driver.js'

export const PAGE = 4096
export const READ: number = IOMMU_IOAS_MAP_READABLE
export const WRITE: number = IOMMU_IOAS_MAP_WRITEABLE
/** Where tests map: outside of what devices reserve. */
export const IOVA = 0x100_0000n

export interface Attached {
  readonly dev: TableDevice
  readonly idev: IommufdDevice
  readonly dma: DeviceDma
  readonly ioas: number
}

export class DmaWorld extends Rig {
  constructor(format: FormatName = 'vtdss', Driver: typeof TableDriver = TableDriver) {
    super(tableDriver(format, Driver))
  }

  /** A device attached to an IOAS, or to a new one. */
  attached(ioas: number = this.ioas()): Attached {
    const dev = this.device() as TableDevice
    const idev = this.bind(dev)
    this.attach(idev, ioas)
    return { dev, idev, dma: this.dma(dev), ioas }
  }

  /** Fresh memory of the program, every byte of page n being n + 1. */
  numbered(pages: number): number {
    return this.memory(pages * PAGE, (page) => page + 1)
  }

  /** IOAS_MAP with chosen permissions. */
  mapAs(ioas_id: number, user_va: number, pages: number, iova: bigint, prot: number): void {
    const flags = prot | IOMMU_IOAS_MAP_FIXED_IOVA
    const values = { flags, ioas_id, user_va, length: pages * PAGE, iova }
    const { ret } = this.ioctl(IOMMU_IOAS_MAP, iommu_ioas_map, values)
    if (ret < 0) this.refused('IOAS_MAP', ret)
  }

  load(va: number, length: number): number[] {
    const bytes = this.process.load(va, length)
    if (typeof bytes === 'number') throw new Error(`load: ${bytes}`)
    return [...bytes]
  }
}

/** `read NOT_MAPPED at 0x1000`, for each record, which are then forgotten. */
export function faultsOf(dma: DeviceDma): string[] {
  return dma.takeFaults().map(faultText)
}

function faultText({ direction, reason, iova }: DmaFault): string {
  return `${direction} ${reason} at 0x${iova.toString(16)}`
}
