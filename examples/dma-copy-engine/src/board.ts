// SPDX-License-Identifier: Apache-2.0
/**
 * The machine: memory, an IOMMU with page tables of x86_64, and a copy engine behind it. What binds
 * the device to a program's context here is VFIO's part on a real machine.
 */
import { Machine } from '@iommufd/host'
import {
  type AttachableDomain,
  type Device,
  IOMMU_CAP_CACHE_COHERENCY,
  IOMMU_RESV_MSI,
  Iommu,
  IommuGroup,
  type IommuOps,
  type IommuResvRegion,
  iommufd_device_attach,
  iommufd_device_bind,
  PageTableDomain,
} from '@iommufd/hw-iommu'
import { createPageTable, pageTableFormats } from '@iommufd/hw-iommu/pagetable'
import { EINVAL } from '@iommufd/uapi'
import { attachIommufd, type IommuClient } from 'iommufd'
import { CopyEngine } from './copy-engine.js'

const TABLE = { features: ['SIGN_EXTEND'], maxVaszLg2: 48, maxOaszLg2: 46, topLevel: 3 } as const
const MSI: IommuResvRegion = { start: 0xfee0_0000n, length: 0x10_0000n, type: IOMMU_RESV_MSI }

class BoardIommu implements IommuOps {
  readonly name = 'board-iommu'
  readonly blockedDomain: AttachableDomain = { type: 'blocked', owner: this, attachDev: () => 0 }
  readonly #iommu: Iommu

  constructor(iommu: Iommu) {
    this.#iommu = iommu
  }

  capable = (_dev: Device, cap: number): boolean => cap === IOMMU_CAP_CACHE_COHERENCY
  probeDevice = (): number => 0
  deviceGroup = (): IommuGroup => new IommuGroup(this.#iommu)
  getResvRegions = (): readonly IommuResvRegion[] => [MSI]

  domainAllocPaging(): PageTableDomain | number {
    const table = createPageTable(pageTableFormats.x86_64, TABLE)
    return typeof table === 'number' ? -EINVAL : new PageTableDomain(this, table)
  }
}

export class Board {
  readonly machine: Machine = new Machine()
  readonly engine = attachIommufd(this.machine)
  readonly copyEngine: CopyEngine = new CopyEngine(this.machine)

  constructor() {
    const iommu = new Iommu(this.engine)
    iommu.registerDriver(new BoardIommu(iommu))
    this.#served(iommu.addDevice(this.copyEngine.device))
  }

  /** Gives the copy engine to the program, attached to its address space. */
  attach(client: IommuClient, ioasId: number): void {
    const file = client.process.file(client.fd)
    const ctx = file && this.engine.contextOf(file)
    if (ctx === undefined) throw new Error('the program has no context')
    const bound = iommufd_device_bind(ctx, this.copyEngine.device)
    const rc = typeof bound === 'number' ? bound : iommufd_device_attach(bound, 0, ioasId)
    this.#served(rc)
  }

  #served(rc: number): void {
    if (rc < 0) throw new Error(this.engine.refusals.last?.sentence)
  }
}
