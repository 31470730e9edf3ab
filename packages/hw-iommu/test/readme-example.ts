// SPDX-License-Identifier: Apache-2.0
import { Iommufd } from '@iommufd/core'
import { Machine } from '@iommufd/host'
import {
  type AttachableDomain,
  Device,
  IOMMU_CAP_CACHE_COHERENCY,
  Iommu,
  IommuGroup,
  type IommuOps,
  iommufd_device_attach,
  iommufd_device_bind,
  iommufd_device_detach,
  iommufd_device_unbind,
  iovaToPhys,
  type PagingDomain,
  registerHwIommu,
} from '@iommufd/hw-iommu'
import { registerIoas } from '@iommufd/pages'
import {
  ENODEV,
  IOMMU_IOAS_ALLOC,
  IOMMU_IOAS_MAP,
  iommu_ioas_alloc,
  iommu_ioas_map,
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  writeStruct,
} from '@iommufd/uapi'

// A driver: page tables of 4 KiB pages for 32 bits of IOVA, kept in a Map; every device alone in its group.
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

  domainAllocPaging(): PagingDomain {
    const table = new Map<number, number>()
    return {
      type: 'paging',
      owner: this,
      minPageSize: PAGE_SIZE,
      pageSizesHi: 0,
      pageSizesLo: PAGE_SIZE,
      apertureStartHi: 0,
      apertureStartLo: 0,
      apertureLastHi: 0,
      apertureLastLo: -1,
      attachDev: () => 0,
      map(_hi, lo, frames, at, _offset, bytes) {
        for (let i = 0; i < bytes / PAGE_SIZE; i++) {
          table.set((lo >>> 12) + i, frames[at + i] as number)
        }
        return 0
      },
      unmap(_hi, lo, bytes) {
        for (let i = 0; i < bytes / PAGE_SIZE; i++) table.delete((lo >>> 12) + i)
        return bytes
      },
      translate(hi, lo, out) {
        const frame = hi === 0 ? table.get(lo >>> 12) : undefined
        if (frame === undefined) return false
        Object.assign(out, { frame, offset: lo & (PAGE_SIZE - 1), lg2: 12, prot: 3 })
        return true
      },
    }
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

// The device's table now leads to the program's page.
const table = dev.group?.domain as PagingDomain
const byte = new Uint8Array(1)
machine.readFrame(iovaToPhys(table, 0, 0x5000) / PAGE_SIZE, 0, byte, 0, 1)
if (byte[0] !== 42) throw new Error('the device would see another page')

iommufd_device_detach(idev, 0)
iommufd_device_unbind(idev)
if (machine.pinnedFrames !== 0) throw new Error('a page is still pinned')
