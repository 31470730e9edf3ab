// SPDX-License-Identifier: Apache-2.0
import { Iommufd } from '@iommufd/core'
import { Machine } from '@iommufd/host'
import { registerIoas } from '@iommufd/pages'
import {
  MAP_ANONYMOUS,
  MAP_PRIVATE,
  PROT_READ,
  PROT_WRITE,
  readStruct,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_MAP_DMA,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  vfio_iommu_type1_dma_map,
  vfio_iommu_type1_dma_unmap,
  writeStruct,
} from '@iommufd/uapi'
import { iommufd_vfio_compat_ioas_create, registerVfioCompat } from '@iommufd/vfio-compat'

// A machine whose /dev/vfio/vfio is an iommufd.
const machine = new Machine()
const engine = new Iommufd(machine)
registerVfioCompat(engine, registerIoas(engine))
machine.registerDevice('/dev/vfio/vfio', () => engine.createContext('mm'))

// A program opens the container and finds no address space in it: ENODEV, and why.
const program = machine.spawn()
const arg = program.mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
const container = program.open('/dev/vfio/vfio')
program.ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)
if (engine.refusals.last?.id !== 'COMPAT_IOAS_MISSING') throw new Error('no refusal')

// What VFIO does when the program puts a group into the container.
const [ctx] = engine.contexts
if (ctx === undefined || iommufd_vfio_compat_ioas_create(ctx) < 0) throw new Error('no IOAS')

// Type 1, the first version: 16 pages are mapped, one in the middle is unmapped.
program.ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)
const flags = VFIO_DMA_MAP_FLAG_READ | VFIO_DMA_MAP_FLAG_WRITE
const map = { flags, vaddr: 0x1000_0000, iova: 0x100000, size: 0x10000 }
program.store(arg, writeStruct(vfio_iommu_type1_dma_map, map))
const mapped = program.ioctl(container, VFIO_IOMMU_MAP_DMA, arg)
const unmap = { flags: 0, iova: 0x104000, size: 0x1000 }
program.store(arg, writeStruct(vfio_iommu_type1_dma_unmap, unmap))
const unmapped = program.ioctl(container, VFIO_IOMMU_UNMAP_DMA, arg)
if (mapped !== 0 || unmapped !== 0) throw new Error(engine.refusals.last?.sentence)
const answer = program.load(arg, vfio_iommu_type1_dma_unmap.size)
if (typeof answer === 'number') throw new Error('the struct is gone')
if (readStruct(vfio_iommu_type1_dma_unmap, answer).size !== 0x1000n) throw new Error('wrong size')
