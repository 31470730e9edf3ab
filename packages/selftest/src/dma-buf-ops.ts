// SPDX-License-Identifier: Apache-2.0
/**
 * The test operations on dma-bufs (SPEC section 10, L8): one that is made, and one that is revoked.
 *
 * Invariant: a dma-buf has a descriptor or does not exist. As in Linux 7.3.4 the number of the
 * descriptor is not told: it is the lowest that was free.
 */
import type { Ucmd } from '@iommufd/core'
import { iommu_test_cmd, PAGE_SIZE } from '@iommufd/uapi'
import {
  DMABUF_FD_UNKNOWN,
  DMABUF_LENGTH,
  DMABUF_NO_DESCRIPTOR,
  DMABUF_NO_MEMORY,
  FD_IS_NO_DMABUF,
} from './dma-buf-refusals.js'
import { TestDmaBuf } from './test-dma-buf.js'

const { at } = iommu_test_cmd
const MAX_BYTES = 512 * PAGE_SIZE

export function dmaBufGet(ucmd: Ucmd): number {
  const { engine } = ucmd.ctx
  const length = ucmd.u32(at.dmabuf_get_length)
  if (length === 0 || length > MAX_BYTES) return engine.refusals.refuse(DMABUF_LENGTH, length | 0)
  const rc = engine.allocate()
  if (rc < 0) return rc
  const frames = new Uint32Array(Math.ceil(length / PAGE_SIZE))
  if (engine.host.allocate(frames.length, frames, 0) < 0) {
    return engine.refusals.refuse(DMABUF_NO_MEMORY, frames.length)
  }
  const { file } = new TestDmaBuf(engine.host, frames, ucmd.word(at.dmabuf_get_open_flags))
  if (ucmd.task.installFile(file) >= 0) return 0
  file.put()
  return engine.refusals.refuse(DMABUF_NO_DESCRIPTOR)
}

export function dmaBufRevoke(ucmd: Ucmd): number {
  const { refusals } = ucmd.ctx.engine
  const fd = ucmd.word(at.dmabuf_revoke_dmabuf_fd)
  const file = ucmd.task.file(fd)
  if (file === undefined) return refusals.refuse(DMABUF_FD_UNKNOWN, fd)
  if (!(file.ops instanceof TestDmaBuf)) return refusals.refuse(FD_IS_NO_DMABUF, fd)
  file.ops.revoke(ucmd.word(at.dmabuf_revoke_revoked) !== 0)
  return 0
}
