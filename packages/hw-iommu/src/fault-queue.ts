// SPDX-License-Identifier: Apache-2.0
/**
 * Fault queues (SPEC L6, L7, section 1): an object, and the file on which page faults are read and
 * answered.
 *
 * Invariant: the open file is one of the object's users and holds the context, each table that
 * reports to the queue is a user more. So the queue outlives them, and its file never outlives it.
 * No driver reports faults yet: nothing is ever queued, so no cookie of a response is known.
 */
import { type IommufdCtx, IommufdObject, type ObjectType, type Ucmd } from '@iommufd/core'
import { File, type FileOperations, type Task } from '@iommufd/host'
import {
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
  iommu_fault_alloc,
  iommu_hwpt_page_response,
  iommu_hwpt_pgfault,
  POLLOUT,
} from '@iommufd/uapi'
import {
  FAULT_QUEUE_FLAGS_NOT_ZERO,
  FAULT_QUEUE_LENGTH,
  FAULT_QUEUE_NO_DESCRIPTOR,
  FAULT_RESPONSE_CODE,
  FAULT_RESPONSE_COOKIE,
} from './refusals.js'

const { at } = iommu_fault_alloc
const { at: RESPONSE, size: RESPONSE_SIZE } = iommu_hwpt_page_response
/** Codes and cookies are little-endian words. */
const response = new DataView(new ArrayBuffer(RESPONSE_SIZE))
const responseBytes = new Uint8Array(response.buffer)

export class IommufdFaultQueue extends IommufdObject implements FileOperations {
  readonly typeName: string = 'FAULT'
  readonly ctx: IommufdCtx
  /** Open from the start; its last reference gives the object free. */
  readonly file: File

  constructor(ctx: IommufdCtx) {
    super()
    this.ctx = ctx.get()
    this.users = 1
    this.file = new File('[iommufd-pgfault]', this)
  }

  /** Whole groups of faults, as many as fit: none, so 0 bytes. -ESPIPE for a part of a fault. */
  read(_task: Task, _hi: number, _lo: number, length: number): number {
    return this.#checkLength(length, iommu_hwpt_pgfault.size)
  }

  /** Answers groups of faults, of which none waits: -ESPIPE, -EFAULT or -EINVAL unless empty. */
  write(task: Task, hi: number, lo: number, length: number): number {
    const rc = this.#checkLength(length, RESPONSE_SIZE)
    return rc < 0 || length === 0 ? rc : this.#respond(task, hi, lo)
  }

  /** Responses are taken at any time; there is no fault to read. */
  poll(): number {
    return POLLOUT
  }

  release(): void {
    this.users--
    this.ctx.put()
  }

  override destroy(): void {}

  #checkLength(length: number, record: number): number {
    const { refusals } = this.ctx.engine
    refusals.clear()
    return length % record === 0 ? 0 : refusals.refuse(FAULT_QUEUE_LENGTH, length, record)
  }

  #respond(task: Task, hi: number, lo: number): number {
    const { engine } = this.ctx
    const rc = engine.copyFromUser(task, hi, lo, responseBytes, 0, RESPONSE_SIZE)
    if (rc < 0) return rc
    const code = response.getInt32(RESPONSE.code, true)
    if (code !== IOMMUFD_PAGE_RESP_SUCCESS && code !== IOMMUFD_PAGE_RESP_INVALID) {
      return engine.refusals.refuse(FAULT_RESPONSE_CODE, code)
    }
    return engine.refusals.refuse(FAULT_RESPONSE_COOKIE, response.getInt32(RESPONSE.cookie, true))
  }
}

export const FAULT: ObjectType<IommufdFaultQueue> = {
  name: 'FAULT',
  is: (object): object is IommufdFaultQueue => object instanceof IommufdFaultQueue,
}

/** IOMMU_FAULT_QUEUE_ALLOC: object and descriptor come to be when both are written back. */
export function faultQueueAlloc(ucmd: Ucmd): number {
  const { ctx, task } = ucmd
  const { engine, objects } = ctx
  const flags = ucmd.word(at.flags)
  if (flags !== 0) return engine.refusals.refuse(FAULT_QUEUE_FLAGS_NOT_ZERO, flags)
  const allocated = engine.allocate()
  if (allocated < 0) return allocated
  const fd = task.unusedFd()
  if (fd < 0) return engine.refusals.refuse(FAULT_QUEUE_NO_DESCRIPTOR)
  const queue = new IommufdFaultQueue(ctx)
  objects.reserve(queue)
  ucmd.setWord(at.out_fault_id, queue.id)
  ucmd.setWord(at.out_fault_fd, fd)
  const rc = ucmd.respond(iommu_fault_alloc.size)
  if (rc < 0) {
    queue.file.put()
    objects.abort(queue)
    return rc
  }
  task.installFile(queue.file)
  objects.finalize(queue)
  return 0
}
