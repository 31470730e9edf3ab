// SPDX-License-Identifier: Apache-2.0
import {
  changedFields,
  decodeIoctl,
  EINVAL,
  errnoName,
  formatIoctl,
  IOMMU_IOAS_MAP,
  IOMMU_IOAS_MAP_READABLE,
  iommu_ioas_map,
  readStruct,
  setU64,
  writeStruct,
} from '@iommufd/uapi'

// A command as an object. `size` is filled in; lengths and addresses take number or bigint.
const arg = writeStruct(iommu_ioas_map, {
  flags: IOMMU_IOAS_MAP_READABLE,
  ioas_id: 1,
  user_va: 0x7f00_0000_0000n,
  length: 0x4000,
})
const before = arg.slice()

// In place, without objects: what a kernel does with the struct in the caller's memory.
const words = new Int32Array(arg.buffer)
setU64(words, iommu_ioas_map.at.iova, 0, 0x10_0000)

// As text.
const line = formatIoctl(decodeIoctl(IOMMU_IOAS_MAP, before))
const changes = changedFields(IOMMU_IOAS_MAP, before, arg).map((change) => change.text)

const expected =
  'IOMMU_IOAS_MAP {size=40, flags=READABLE, ioas_id=1, user_va=0x7f0000000000, length=0x4000, iova=0x0}'
if (line !== expected) throw new Error(line)
if (changes.join() !== 'iova=0x0->0x100000') throw new Error(changes.join())
if (readStruct(iommu_ioas_map, arg).iova !== 0x10_0000n) throw new Error('iova')
if (errnoName(-EINVAL) !== 'EINVAL') throw new Error('errno')
