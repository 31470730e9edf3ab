// SPDX-License-Identifier: Apache-2.0
import { Iommufd } from '@iommufd/core'
import { Machine } from '@iommufd/host'
import { registerIoas } from '@iommufd/pages'
import { registerSelftest } from '@iommufd/selftest'
import * as uapi from '@iommufd/uapi'

// A machine as a kernel with CONFIG_IOMMUFD_TEST has it, and a process with a page for structs and one of memory.
const machine = new Machine()
const engine = new Iommufd(machine)
registerSelftest(engine, registerIoas(engine))
machine.registerDevice('/dev/iommu', () => engine.createContext('user'))
const process = machine.spawn()
const anonymous = uapi.MAP_PRIVATE | uapi.MAP_ANONYMOUS
const [arg = 0, buffer = 0] = [1, 2].map(() =>
  process.mmap(0, 4096, uapi.PROT_READ | uapi.PROT_WRITE, anonymous),
)
const fd = process.open('/dev/iommu')

function ioctl(cmd: number, struct: Uint8Array): Uint8Array {
  process.store(arg, struct)
  const ret = process.ioctl(fd, cmd, arg)
  if (ret !== 0) throw new Error(`${ret}: ${engine.refusals.last?.sentence}`)
  return process.load(arg, struct.length) as Uint8Array
}

// The page is mapped at IOVA 0x100000 of a new address space, and an access pins it there.
ioctl(uapi.IOMMU_IOAS_ALLOC, uapi.writeStruct(uapi.iommu_ioas_alloc, {}))
const flags = uapi.IOMMU_IOAS_MAP_FIXED_IOVA | uapi.IOMMU_IOAS_MAP_READABLE
const map = { flags, ioas_id: 1, user_va: buffer, length: 4096, iova: 0x100000 }
ioctl(uapi.IOMMU_IOAS_MAP, uapi.writeStruct(uapi.iommu_ioas_map, map))
const create = uapi.writeStruct(uapi.iommu_test_cmd, {
  op: uapi.IOMMU_TEST_OP_CREATE_ACCESS,
  id: 1,
  create_access_flags: uapi.MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
})
const created = uapi.readStruct(uapi.iommu_test_cmd, ioctl(uapi.IOMMU_TEST_CMD, create))
const pin = uapi.writeStruct(uapi.iommu_test_cmd, {
  op: uapi.IOMMU_TEST_OP_ACCESS_PAGES,
  id: created.create_access_out_access_fd,
  access_pages_iova: 0x100000,
  access_pages_length: 4096,
  access_pages_uptr: buffer,
})
ioctl(uapi.IOMMU_TEST_CMD, pin)

// The page now has one pin, as the test operation for that says; closing the access gives it back.
const refs = uapi.writeStruct(uapi.iommu_test_cmd, {
  op: uapi.IOMMU_TEST_OP_MD_CHECK_REFS,
  check_refs_uptr: buffer,
  check_refs_length: 4096,
  check_refs_refs: 1,
})
ioctl(uapi.IOMMU_TEST_CMD, refs)
process.close(created.create_access_out_access_fd)
if (machine.pinnedFrames !== 0) throw new Error('still pinned')
