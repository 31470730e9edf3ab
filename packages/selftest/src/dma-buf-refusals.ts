// SPDX-License-Identifier: Apache-2.0
/** Why a test operation on dma-bufs is refused (SPEC section 10). */
import type { RefusalSite } from '@iommufd/core'
import { EBADF, EINVAL, EMFILE, ENOMEM } from '@iommufd/uapi'

export const DMABUF_LENGTH: RefusalSite = {
  id: 'DMABUF_LENGTH',
  errno: EINVAL,
  spec: 'section 10',
  operands: { length: 'u32' },
  sentence: 'a dma-buf of {length} bytes: it has at least one and at most 512 pages',
  remedy: 'ask for 1 to 2097152 bytes; they are rounded up to pages',
}

export const DMABUF_NO_MEMORY: RefusalSite = {
  id: 'DMABUF_NO_MEMORY',
  errno: ENOMEM,
  spec: 'section 10',
  operands: { pages: 'u32' },
  sentence: 'the machine has no {pages} free pages one after the other',
  remedy: 'give the machine more memory, or ask for a smaller dma-buf',
}

export const DMABUF_NO_DESCRIPTOR: RefusalSite = {
  id: 'DMABUF_NO_DESCRIPTOR',
  errno: EMFILE,
  spec: 'section 10',
  operands: {},
  sentence: 'the process has no free descriptor for the dma-buf',
  remedy: 'close descriptors',
}

export const DMABUF_FD_UNKNOWN: RefusalSite = {
  id: 'DMABUF_FD_UNKNOWN',
  errno: EBADF,
  spec: 'section 10',
  operands: { fd: 's32' },
  sentence: 'descriptor {fd} is not open',
  remedy: 'pass the descriptor that appeared with DMABUF_GET',
}

export const FD_IS_NO_DMABUF: RefusalSite = {
  id: 'FD_IS_NO_DMABUF',
  errno: EINVAL,
  spec: 'section 10',
  operands: { fd: 's32' },
  sentence: 'descriptor {fd} is open, but not a dma-buf of DMABUF_GET',
  remedy: 'pass the descriptor that appeared with DMABUF_GET',
}
