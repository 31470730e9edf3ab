// SPDX-License-Identifier: Apache-2.0
/** Why memory of another driver is not mapped, or not used in this way (SPEC L8, L11). */
import type { RefusalSite } from '@iommufd/core'
import { EINVAL, ENODEV, EOPNOTSUPP } from '@iommufd/uapi'

export const DMABUF_TOO_SHORT: RefusalSite = {
  id: 'DMABUF_TOO_SHORT',
  errno: EINVAL,
  spec: 'L8',
  operands: { start: 'u64', length: 'u64', size: 'u64' },
  sentence: '{length} bytes from byte {start} on run past the end of the dma-buf, which has {size}',
  remedy: 'keep start + length within the size that the exporter gave the dma-buf',
}

export const DMABUF_GONE: RefusalSite = {
  id: 'DMABUF_GONE',
  errno: ENODEV,
  spec: 'L8',
  operands: {},
  sentence: 'the exporter of the dma-buf has revoked its memory',
  remedy: 'map it again when the exporter offers the memory again (a device that was reset, a BAR)',
}

export const DMABUF_SCATTERED: RefusalSite = {
  id: 'DMABUF_SCATTERED',
  errno: EOPNOTSUPP,
  spec: 'L8',
  operands: { ranges: 'u32' },
  sentence: 'the memory of the dma-buf is {ranges} physical ranges, and only one can be mapped',
  remedy: 'export the parts as dma-bufs of their own, each of one range of a VFIO device',
}

export const DMABUF_NOT_FOR_CPU: RefusalSite = {
  id: 'DMABUF_NOT_FOR_CPU',
  errno: EINVAL,
  spec: 'L8',
  operands: { iova: 'u64', last: 'u64' },
  sentence:
    '[{iova}, {last}] shows a dma-buf, whose memory the kernel neither pins nor reads or writes',
  remedy: 'let only devices use the range, or map memory of a process there',
}

export const AREA_OF_DMABUF: RefusalSite = {
  id: 'AREA_OF_DMABUF',
  errno: EINVAL,
  spec: 'L11',
  operands: { ioas: 'u32', iova: 'u64' },
  sentence: 'the area at {iova} of ioas {ioas} shows a dma-buf, which cannot change process',
  remedy: 'unmap dma-bufs before IOMMU_IOAS_CHANGE_PROCESS and map them again afterwards',
}
