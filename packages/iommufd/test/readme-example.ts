// SPDX-License-Identifier: Apache-2.0
import { Machine } from '@iommufd/host'
import * as uapi from '@iommufd/uapi'
import { attachIommufd } from 'iommufd'

// A machine with /dev/iommu, and a process on it with a buffer and a page for ioctl structs.
const machine = new Machine()
const engine = attachIommufd(machine)
const process = machine.spawn()
const [structs, buffer, length] = [0x10000, 0x7f00_0000_0000, 0x4000]
const anonymous = uapi.MAP_PRIVATE | uapi.MAP_ANONYMOUS | uapi.MAP_FIXED
for (const addr of [structs, buffer]) {
  process.mmap(addr, length, uapi.PROT_READ | uapi.PROT_WRITE, anonymous)
}
const fd = process.open('/dev/iommu')

// The process makes an I/O address space and maps its buffer there: two ioctls, as on Linux.
process.store(structs, uapi.writeStruct(uapi.iommu_ioas_alloc, {}))
process.ioctl(fd, uapi.IOMMU_IOAS_ALLOC, structs)
const answer = process.load(structs, uapi.iommu_ioas_alloc.size) as Uint8Array
const ioas_id = uapi.readStruct(uapi.iommu_ioas_alloc, answer).out_ioas_id
const flags = uapi.IOMMU_IOAS_MAP_READABLE | uapi.IOMMU_IOAS_MAP_FIXED_IOVA
const map = { flags, ioas_id, user_va: buffer, length, iova: 0x10_0000 }
process.store(structs, uapi.writeStruct(uapi.iommu_ioas_map, map))
const first = process.ioctl(fd, uapi.IOMMU_IOAS_MAP, structs)

// The same again is refused, and the refusal explains itself.
const second = process.ioctl(fd, uapi.IOMMU_IOAS_MAP, structs)
console.log(engine.refusals.last?.sentence)

if (first !== 0 || second !== -uapi.EEXIST) throw new Error(`${first}, ${second}`)
if (!engine.refusals.last?.sentence.includes('0x100000')) throw new Error('not explained')
