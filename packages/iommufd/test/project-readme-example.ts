// SPDX-License-Identifier: Apache-2.0
import { Machine } from '@iommufd/host'
import { MAP_ANONYMOUS, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { attachIommufd, IommuClient } from 'iommufd'

const machine = new Machine()
const iommu = new IommuClient(attachIommufd(machine), machine.spawn())
const buffer = iommu.process.mmap(0, 0x4000, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS)
const ioas = iommu.ioasAlloc()
ioas.map({ user_va: buffer, length: 0x4000, iova: 0x100000 })
ioas.map({ user_va: buffer, length: 0x1000, iova: 0x101000 })
// IommufdError: IOMMU_IOAS_MAP: EEXIST: [0x101000, 0x101fff] overlaps the area mapped at [0x100000, 0x103fff]
// (unmap that area first, or choose another iova)
