// SPDX-License-Identifier: Apache-2.0
import { Iommufd } from '@iommufd/core'
import { Machine } from '@iommufd/host'
import {
  IOAS,
  pinRange,
  RangeTree,
  RW_WRITE,
  registerIoas,
  rwRange,
  unpinRange,
} from '@iommufd/pages'
import * as uapi from '@iommufd/uapi'

// The tree alone: disjoint ranges over the whole u64 space. A u64 is two int32 words, high and low.
const tree = new RangeTree()
tree.insert(0, 0x1000, 0, 0x1fff, 7)
tree.insert(-1, 0, -1, -1, 8) // the last 4 GiB
if (tree.value(tree.at(0, 0x1234)) !== 7) throw new Error('not found')
if (!tree.findHole(0, 0, 0, 0x1fff) || tree.holeStartLo !== 0x2000) throw new Error('no hole')

// An engine that serves the IOAS commands, and a process that opens it.
const machine = new Machine()
const engine = new Iommufd(machine)
registerIoas(engine)
machine.registerDevice('/dev/iommu', () => engine.createContext('user'))
const process = machine.spawn({ uid: 1000 })
const flags = uapi.MAP_PRIVATE | uapi.MAP_ANONYMOUS | uapi.MAP_FIXED
const memory = process.mmap(0x100000, 0x10000, uapi.PROT_READ | uapi.PROT_WRITE, flags)
const fd = process.open('/dev/iommu')
function ioctl(cmd: number, struct: Uint8Array): number {
  process.store(memory, struct)
  return process.ioctl(fd, cmd, memory)
}

// It maps four pages of its memory; the kernel chooses the IOVA, the lowest that fits.
ioctl(uapi.IOMMU_IOAS_ALLOC, uapi.writeStruct(uapi.iommu_ioas_alloc, {}))
const request = {
  flags: uapi.IOMMU_IOAS_MAP_READABLE | uapi.IOMMU_IOAS_MAP_WRITEABLE,
  ioas_id: 1,
  user_va: memory + 0x4000,
  length: 0x4000,
}
ioctl(uapi.IOMMU_IOAS_MAP, uapi.writeStruct(uapi.iommu_ioas_map, request))
const answer = uapi.readStruct(uapi.iommu_ioas_map, process.load(memory, 40) as Uint8Array)
if (answer.iova !== 0x4000n) throw new Error(`mapped at ${answer.iova}`)

// Code in the kernel writes by IOVA, and pins two of the pages, which charges the process's user.
const file = process.file(fd)
const iopt = (file && engine.contextOf(file)?.find(1, IOAS))?.iopt
if (iopt === undefined) throw new Error('no IOAS')
const frames = new Uint32Array(2)
rwRange(iopt, 0, 0x4ffe, Uint8Array.of(1, 2, 3, 4), 0, 4, RW_WRITE)
if (pinRange(iopt, 0, 0x4000, 0, 0x5fff, true, frames) !== 0) throw new Error('not pinned')
if (process.user.lockedVm !== 2 || machine.pinnedFrames !== 2) throw new Error('not charged')
unpinRange(iopt, 0, 0x4000, 0, 0x5fff)
if (String(process.load(memory + 0x4ffe, 4)) !== '1,2,3,4') throw new Error('not written')

// A refused call says why.
const overlapping = {
  ...request,
  flags: request.flags | uapi.IOMMU_IOAS_MAP_FIXED_IOVA,
  iova: 0x7fff,
}
const refused = ioctl(uapi.IOMMU_IOAS_MAP, uapi.writeStruct(uapi.iommu_ioas_map, overlapping))
const { sentence } = engine.refusals.last ?? {}
if (refused !== -uapi.EEXIST) throw new Error(`answered ${refused}`)
if (sentence !== '[0x7fff, 0xbffe] overlaps the area mapped at [0x4000, 0x7fff]')
  throw new Error(sentence)

process.exit()
if (machine.framesInUse !== 0) throw new Error('something is left')
