// SPDX-License-Identifier: Apache-2.0
import { Iommufd } from '@iommufd/core'
import { Machine } from '@iommufd/host'
import {
  type AttachableDomain,
  Device,
  DeviceDma,
  IOMMU_CAP_CACHE_COHERENCY,
  Iommu,
  IommuGroup,
  type IommuOps,
  iommufd_device_attach,
  iommufd_device_bind,
  iommufd_device_detach,
  iommufd_device_unbind,
  PageTableDomain,
  registerHwIommu,
} from '@iommufd/hw-iommu'
import { createPageTable, pageTableFormats } from '@iommufd/hw-iommu/pagetable'
import { registerIoas } from '@iommufd/pages'
import {
  ENODEV,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_UNMAP,
  iommu_ioas_alloc,
  iommu_ioas_map,
  iommu_ioas_unmap,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  writeStruct,
} from '@iommufd/uapi'

// A driver: page tables of x86_64 with four levels; every device alone in its group.
class TinyDriver implements IommuOps {
  readonly name = 'tiny'
  readonly blockedDomain: AttachableDomain = { type: 'blocked', owner: this, attachDev: () => 0 }
  readonly iommu: Iommu

  constructor(iommu: Iommu) {
    this.iommu = iommu
  }

  capable = (_dev: Device, cap: number): boolean => cap === IOMMU_CAP_CACHE_COHERENCY
  probeDevice = (dev: Device): number => (dev.name.startsWith('tiny') ? 0 : -ENODEV)
  deviceGroup = (): IommuGroup => new IommuGroup(this.iommu)

  domainAllocPaging(): PageTableDomain | number {
    const config = { features: [], maxVaszLg2: 47, maxOaszLg2: 46, topLevel: 3 }
    const table = createPageTable(pageTableFormats.x86_64, config)
    return typeof table === 'number' ? table : new PageTableDomain(this, table)
  }
}

const machine = new Machine()
const engine = new Iommufd(machine)
registerIoas(engine)
registerHwIommu(engine)
machine.registerDevice('/dev/iommu', () => engine.createContext('user'))

const iommu = new Iommu(engine)
iommu.registerDriver(new TinyDriver(iommu))
const dev = new Device('tiny-nic')
if (iommu.addDevice(dev) !== 0) throw new Error(engine.refusals.last?.sentence)

// A program maps a page of its memory at IOVA 0x5000.
const program = machine.spawn()
const fd = program.open('/dev/iommu')
const [arg, page] = [0, 1].map(() =>
  program.mmap(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS),
) as [number, number]
program.store(page, Uint8Array.of(42))
program.store(arg, writeStruct(iommu_ioas_alloc, { size: 12 }))
if (program.ioctl(fd, IOMMU_IOAS_ALLOC, arg) !== 0) throw new Error('no IOAS')
const map = { size: 40, flags: 7, ioas_id: 1, user_va: page, length: PAGE_SIZE, iova: 0x5000 }
program.store(arg, writeStruct(iommu_ioas_map, map))
if (program.ioctl(fd, IOMMU_IOAS_MAP, arg) !== 0) throw new Error('not mapped')

// A driver of the device, such as VFIO, binds it to the program's context and attaches it.
const file = program.file(fd)
const ctx = file && engine.contextOf(file)
if (ctx === undefined) throw new Error('no context')
const idev = iommufd_device_bind(ctx, dev)
if (typeof idev === 'number') throw new Error(engine.refusals.last?.sentence)
if (iommufd_device_attach(idev, 0, 1) < 0) throw new Error(engine.refusals.last?.sentence)

// The device reads and writes the program's memory by IOVA.
const dma = new DeviceDma(dev, machine)
const byte = new Uint8Array(1)
if (dma.read(0x5000, byte) !== 1 || byte[0] !== 42) throw new Error('the device reads wrong')
dma.write(0x5001, Uint8Array.of(43))
if (String(program.load(page, 2)) !== '42,43') throw new Error('the device writes wrong')

// What was unmapped is a fault record.
program.store(arg, writeStruct(iommu_ioas_unmap, { ioas_id: 1, iova: 0x5000, length: PAGE_SIZE }))
if (program.ioctl(fd, IOMMU_IOAS_UNMAP, arg) !== 0) throw new Error('not unmapped')
const [fault] = dma.read(0x5000, byte) === 0 ? dma.takeFaults() : []
if (fault?.reason !== 'NOT_MAPPED' || fault.iova !== 0x5000n) throw new Error('no fault')

iommufd_device_detach(idev, 0)
iommufd_device_unbind(idev)
if (machine.pinnedFrames !== 0) throw new Error('a page is still pinned')
