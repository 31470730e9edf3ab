// SPDX-License-Identifier: Apache-2.0
import * as access from '@iommufd/access'
import { Iommufd } from '@iommufd/core'
import { Machine } from '@iommufd/host'
import { registerIoas } from '@iommufd/pages'
import * as uapi from '@iommufd/uapi'

// A machine with /dev/iommu, and a process that maps one page of its memory at IOVA 0x100000.
const machine = new Machine()
const engine = new Iommufd(machine)
registerIoas(engine)
machine.registerDevice('/dev/iommu', () => engine.createContext('user'))
const process = machine.spawn()
const anonymous = uapi.MAP_PRIVATE | uapi.MAP_ANONYMOUS
const [arg = 0, buffer = 0] = [1, 2].map(() =>
  process.mmap(0, 4096, uapi.PROT_READ | uapi.PROT_WRITE, anonymous),
)
const fd = process.open('/dev/iommu')
process.store(arg, uapi.writeStruct(uapi.iommu_ioas_alloc, {}))
process.ioctl(fd, uapi.IOMMU_IOAS_ALLOC, arg)
const flags =
  uapi.IOMMU_IOAS_MAP_FIXED_IOVA | uapi.IOMMU_IOAS_MAP_READABLE | uapi.IOMMU_IOAS_MAP_WRITEABLE
const map = { flags, ioas_id: 1, user_va: buffer, length: 4096, iova: 0x100000 }
process.store(arg, uapi.writeStruct(uapi.iommu_ioas_map, map))
if (process.ioctl(fd, uapi.IOMMU_IOAS_MAP, arg) !== 0) throw new Error('not mapped')

// A driver inside the kernel: it takes the process's descriptor, attaches, writes and pins.
const ctx = access.iommufd_ctx_from_fd(engine, process, fd)
if (typeof ctx === 'number') throw new Error(`no iommufd: ${ctx}`)
interface Driver {
  access?: access.IommufdAccess
}
const driver: Driver = {}
const held = access.iommufd_access_create(
  ctx,
  {
    needs_pin_pages: true,
    unmap: (data: Driver, _iova, _length) => {
      if (data.access) access.iommufd_access_unpin_pages(data.access, 0x100000, 4096)
    },
  },
  driver,
)
if (typeof held === 'number') throw new Error(`no access: ${held}`)
driver.access = held
access.iommufd_access_attach(held, 1)
const hello = Uint8Array.of(104, 101, 108, 108, 111)
access.iommufd_access_rw(held, 0x100000, hello, access.IOMMUFD_ACCESS_RW_WRITE)
const frames = new Uint32Array(1)
access.iommufd_access_pin_pages(held, 0x100000, 4096, frames, access.IOMMUFD_ACCESS_RW_READ)
if (String(process.load(buffer, 5)) !== String(hello)) throw new Error('not written')
if (machine.pins(frames[0] as number) !== 1) throw new Error('not pinned')

// It leaves: the callback lets the page go.
access.iommufd_access_destroy(held)
access.iommufd_ctx_put(ctx)
if (machine.pinnedFrames !== 0) throw new Error('still pinned')
