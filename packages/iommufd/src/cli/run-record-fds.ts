// SPDX-License-Identifier: Apache-2.0
// Descriptors inside of structs: a recording has numbers of its own, so they are translated there too.

import {
  IOMMU_FAULT_QUEUE_ALLOC,
  IOMMU_IOAS_MAP_FILE,
  IOMMU_TEST_CMD,
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_CREATE_ACCESS,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
  IOMMU_TEST_OP_DMABUF_GET,
  IOMMU_TEST_OP_DMABUF_REVOKE,
  IOMMU_VEVENTQ_ALLOC,
  iommu_fault_alloc,
  iommu_ioas_map_file,
  iommu_test_cmd,
  iommu_veventq_alloc,
} from '@iommufd/uapi'

const ON_ACCESS = new Set([
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_DESTROY_ACCESS_PAGES,
])

function opOf(arg: Uint8Array): number {
  return new DataView(arg.buffer, arg.byteOffset, arg.length).getUint32(iommu_test_cmd.at.op, true)
}

/** Where a struct names a descriptor that the program has, -1: nowhere. */
export function givenFdAt(cmd: number, arg: Uint8Array): number {
  if (cmd === IOMMU_IOAS_MAP_FILE) return within(arg, iommu_ioas_map_file.at.fd)
  if (cmd !== IOMMU_TEST_CMD || arg.length < 12) return -1
  const op = opOf(arg)
  if (op === IOMMU_TEST_OP_DMABUF_REVOKE) {
    return within(arg, iommu_test_cmd.at.dmabuf_revoke_dmabuf_fd)
  }
  return ON_ACCESS.has(op) ? iommu_test_cmd.at.id : -1
}

/** Whether a call gives a descriptor that its struct does not tell. */
export function givesUntoldFd(cmd: number, arg: Uint8Array): boolean {
  return cmd === IOMMU_TEST_CMD && arg.length >= 12 && opOf(arg) === IOMMU_TEST_OP_DMABUF_GET
}

/** Where a struct tells a descriptor that the program has got, -1: nowhere. */
export function newFdAt(cmd: number, arg: Uint8Array): number {
  if (cmd === IOMMU_FAULT_QUEUE_ALLOC) return within(arg, iommu_fault_alloc.at.out_fault_fd)
  if (cmd === IOMMU_VEVENTQ_ALLOC) return within(arg, iommu_veventq_alloc.at.out_veventq_fd)
  if (cmd !== IOMMU_TEST_CMD || arg.length < 12 || opOf(arg) !== IOMMU_TEST_OP_CREATE_ACCESS) {
    return -1
  }
  return within(arg, iommu_test_cmd.at.create_access_out_access_fd)
}

function within(arg: Uint8Array, at: number): number {
  return at + 4 <= arg.length ? at : -1
}
