// SPDX-License-Identifier: Apache-2.0
/**
 * The in-kernel access API in the form of Linux 7.3 (SPEC section 5).
 *
 * Names, arguments and answers are those of `include/linux/iommufd.h`; where C returns ERR_PTR or
 * an errno, these return a negative number. Addresses and lengths are `bigint | number` from 0 to
 * 2^64 - 1. Why a call was refused stands in `ctx.engine.refusals.last`.
 */
import { hiOf, type Iommufd, type IommufdCtx, loOf } from '@iommufd/core'
import type { File, Task } from '@iommufd/host'
import { IommufdAccess } from './access.js'
import type { IommufdAccessOps } from './api.js'
import { FD_IS_NOT_OPEN, FILE_IS_NO_IOMMUFD } from './refusals.js'

export { IommufdAccess } from './access.js'
export {
  IOMMUFD_ACCESS_RW_KTHREAD,
  IOMMUFD_ACCESS_RW_READ,
  IOMMUFD_ACCESS_RW_WRITE,
  type IommufdAccessOps,
} from './api.js'
export * as accessRefusals from './refusals.js'

/** The context behind an open file, with a reference of the caller's; -EBADFD for another file. */
export function iommufd_ctx_from_file(engine: Iommufd, file: File): IommufdCtx | number {
  engine.refusals.clear()
  const ctx = engine.contextOf(file)
  return ctx === undefined ? engine.refusals.refuse(FILE_IS_NO_IOMMUFD) : ctx.get()
}

/** The context behind a descriptor of `task`; -EBADF if it is not open, -EBADFD if it is another file. */
export function iommufd_ctx_from_fd(engine: Iommufd, task: Task, fd: number): IommufdCtx | number {
  const file = task.file(fd)
  if (file !== undefined) return iommufd_ctx_from_file(engine, file)
  engine.refusals.clear()
  return engine.refusals.refuse(FD_IS_NOT_OPEN, fd)
}

/** Takes one more reference to the context. */
export function iommufd_ctx_get(ictx: IommufdCtx): void {
  ictx.get()
}

/** Gives a reference back; the last one destroys the context's objects. */
export function iommufd_ctx_put(ictx: IommufdCtx): void {
  ictx.put()
}

/** A new access, attached to nothing; its object id is `access.id`. */
export function iommufd_access_create<Data>(
  ictx: IommufdCtx,
  ops: IommufdAccessOps<Data>,
  data: Data,
): IommufdAccess<Data> | number {
  ictx.engine.refusals.clear()
  return IommufdAccess.create(ictx, ops, data)
}

/** Ends the access; its callback is asked to unpin everything first. */
export function iommufd_access_destroy(access: IommufdAccess): void {
  access.close()
}

/**
 * Attaches to an IOAS: -EINVAL when attached already, -ENOENT for an unknown id, -EBUSY from inside the
 * callback of a detach, -EADDRINUSE.
 */
export function iommufd_access_attach(access: IommufdAccess, ioas_id: number): number {
  access.ctx.engine.refusals.clear()
  return access.attach(ioas_id)
}

/** Moves to another IOAS: -ENOENT when not attached or for an unknown id, -EADDRINUSE. */
export function iommufd_access_replace(access: IommufdAccess, ioas_id: number): number {
  access.ctx.engine.refusals.clear()
  return access.replace(ioas_id)
}

/** Leaves its IOAS; the callback is asked to unpin everything first. */
export function iommufd_access_detach(access: IommufdAccess): void {
  access.detach()
}

/**
 * Pins the pages of [iova, iova + length) and writes a frame number for each to `out_pages`: 0,
 * -EINVAL (length 0, not page-aligned, no pinning access), -EOVERFLOW, -ENOENT (a hole, or not
 * attached), -EPERM, -EFAULT, -ENOMEM. Nothing stays pinned after an error.
 */
export function iommufd_access_pin_pages(
  access: IommufdAccess,
  iova: bigint | number,
  length: bigint | number,
  out_pages: Uint32Array,
  flags: number,
): number {
  access.ctx.engine.refusals.clear()
  return access.pinPages(hiOf(iova), loOf(iova), hiOf(length), loOf(length), out_pages, flags)
}

/** Gives one pin of the range back; the range must be one that was pinned. */
export function iommufd_access_unpin_pages(
  access: IommufdAccess,
  iova: bigint | number,
  length: bigint | number,
): void {
  access.unpinPages(hiOf(iova), loOf(iova), hiOf(length), loOf(length))
}

/**
 * Reads `data.length` bytes at `iova`, or writes them with IOMMUFD_ACCESS_RW_WRITE: 0, -EINVAL
 * (length 0), -EOVERFLOW, -ENOENT (a hole, or not attached), -EPERM, -EFAULT.
 */
export function iommufd_access_rw(
  access: IommufdAccess,
  iova: bigint | number,
  data: Uint8Array,
  flags: number,
): number {
  access.ctx.engine.refusals.clear()
  return access.rw(hiOf(iova), loOf(iova), data, 0, data.length, flags)
}
