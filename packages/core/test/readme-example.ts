// SPDX-License-Identifier: Apache-2.0
import { Iommufd, IommufdObject, type Ucmd } from '@iommufd/core'
import { Machine } from '@iommufd/host'
import * as uapi from '@iommufd/uapi'

// A kind of object, and a command that makes one: what the layers above the core do.
class Space extends IommufdObject {
  readonly typeName = 'IOAS'
  override destroy(): void {}
}

function alloc(ucmd: Ucmd): number {
  const space = new Space()
  ucmd.ctx.objects.reserve(space) // has an id, nobody sees it yet
  ucmd.setWord(uapi.iommu_ioas_alloc.at.out_ioas_id, space.id)
  const rc = ucmd.respond(uapi.iommu_ioas_alloc.size)
  if (rc < 0) ucmd.ctx.objects.abort(space)
  else ucmd.ctx.objects.finalize(space)
  return rc
}

const machine = new Machine()
const engine = new Iommufd(machine)
engine.commands.register(uapi.IOMMU_IOAS_ALLOC, alloc)
machine.registerDevice('/dev/iommu', () => engine.createContext('user'))

// A process opens the device and makes its ioctls with structs in its own memory.
const process = machine.spawn()
const flags = uapi.MAP_PRIVATE | uapi.MAP_ANONYMOUS
const arg = process.mmap(0, 4096, uapi.PROT_READ | uapi.PROT_WRITE, flags)
const fd = process.open('/dev/iommu')

process.store(arg, uapi.writeStruct(uapi.iommu_ioas_alloc, {}))
const made = process.ioctl(fd, uapi.IOMMU_IOAS_ALLOC, arg)
process.store(arg, uapi.writeStruct(uapi.iommu_destroy, { id: 7 }))
const refused = process.ioctl(fd, uapi.IOMMU_DESTROY, arg)

if (made !== 0 || refused !== -uapi.ENOENT) throw new Error(`${made} ${refused}`)
const { id, sentence } = engine.refusals.last ?? {}
if (id !== 'OBJECT_UNKNOWN') throw new Error(`not explained: ${sentence}`)
