// SPDX-License-Identifier: Apache-2.0
/**
 * Fault queues (SPEC L6, L7, section 1): an object, and the file on which page faults are read and
 * answered.
 *
 * Invariant: the open file is one of the object's users and holds the context, each table that
 * reports to the queue is a user more. So the queue outlives them, and its file never outlives it.
 * A read gives whole groups or leaves them queued; a write answers groups one by one, in order.
 */
import { type IommufdCtx, IommufdObject, type ObjectType, sumHi, type Ucmd } from '@iommufd/core'
import { File, type FileOperations, type Task } from '@iommufd/host'
import {
  ENODEV,
  IOMMU_PGFAULT_FLAGS_LAST_PAGE,
  IOMMU_PGFAULT_FLAGS_PASID_VALID,
  IOMMUFD_PAGE_RESP_INVALID,
  IOMMUFD_PAGE_RESP_SUCCESS,
  iommu_fault_alloc,
  iommu_hwpt_page_response,
  iommu_hwpt_pgfault,
  POLLIN,
  POLLOUT,
  POLLRDNORM,
  writeStruct,
} from '@iommufd/uapi'
import { type Device, IOMMU_NO_PASID } from './device.js'
import { IommufdGroup } from './iommufd-group.js'
import {
  IOMMU_PAGE_RESP_INVALID,
  IOMMU_PAGE_RESP_SUCCESS,
  type IopfGroup,
  type PageRequest,
} from './iopf.js'
import { OutstandingFaults, type OutstandingGroup } from './outstanding-faults.js'
import {
  FAULT_GROUP_TOO_LARGE,
  FAULT_QUEUE_FLAGS_NOT_ZERO,
  FAULT_QUEUE_LENGTH,
  FAULT_QUEUE_NO_DESCRIPTOR,
  FAULT_RESPONSE_CODE,
  FAULT_RESPONSE_COOKIE,
} from './refusals.js'

const { at } = iommu_fault_alloc
const { size: FAULT_SIZE } = iommu_hwpt_pgfault
const { at: RESPONSE, size: RESPONSE_SIZE } = iommu_hwpt_page_response
/** Codes and cookies are little-endian words. */
const response = new DataView(new ArrayBuffer(RESPONSE_SIZE))
const responseBytes = new Uint8Array(response.buffer)
/** What a program answers, and what the device is told. */
const ANSWERS: ReadonlyMap<number, number> = new Map([
  [IOMMUFD_PAGE_RESP_SUCCESS, IOMMU_PAGE_RESP_SUCCESS],
  [IOMMUFD_PAGE_RESP_INVALID, IOMMU_PAGE_RESP_INVALID],
])

export class IommufdFaultQueue extends IommufdObject implements FileOperations {
  readonly typeName: string = 'FAULT'
  readonly ctx: IommufdCtx
  /** Open from the start; its last reference gives the object free. */
  readonly file: File
  readonly #faults = new OutstandingFaults()

  constructor(ctx: IommufdCtx) {
    super()
    this.ctx = ctx.get()
    this.users = 1
    this.file = new File('[iommufd-pgfault]', this)
  }

  /** Queues a group of an attached device; -ENODEV for a device that only shares its IOMMU group. */
  add(group: IopfGroup): number {
    const { dev, attachedPasid } = group
    const igroup = dev.group?.owner
    if (!(igroup instanceof IommufdGroup)) return -ENODEV
    const idev = igroup.bound.get(dev)
    if (idev === undefined || !igroup.isAttached(dev, attachedPasid)) return -ENODEV
    this.#faults.add({ group, deviceId: idev.id })
    return 0
  }

  /** The device leaves a table of the queue: what it has outstanding is answered INVALID. */
  drop(dev: Device, attachedPasid: number): void {
    this.#faults.drop(dev, attachedPasid)
  }

  /**
   * Whole groups of faults, as many as fit: their bytes, 0 when none is queued. -ESPIPE for a part of
   * a fault, -EINVAL when the first group does not fit, -EFAULT or -ENOMEM before the first group.
   */
  read(task: Task, hi: number, lo: number, length: number): number {
    let rc = this.#checkLength(length, FAULT_SIZE)
    let done = 0
    for (let next = this.#faults.first; next !== undefined && rc === 0; next = this.#faults.first) {
      const bytes = next.group.requests.length * FAULT_SIZE
      if (bytes > length - done) rc = this.ctx.engine.refusals.refuse(FAULT_GROUP_TOO_LARGE, bytes)
      else rc = this.#deliver(task, sumHi(hi, lo, 0, done), (lo + done) | 0, next)
      if (rc === 0) done += bytes
    }
    return this.#transferred(done, rc)
  }

  /**
   * Answers delivered groups: the bytes of the responses before the first that is refused. -ESPIPE
   * for a part of a response, -EFAULT or -EINVAL when the first is refused.
   */
  write(task: Task, hi: number, lo: number, length: number): number {
    let rc = this.#checkLength(length, RESPONSE_SIZE)
    let done = 0
    while (rc === 0 && done < length) {
      rc = this.#respond(task, sumHi(hi, lo, 0, done), (lo + done) | 0)
      if (rc === 0) done += RESPONSE_SIZE
    }
    return this.#transferred(done, rc)
  }

  /** Responses are taken at any time. */
  poll(): number {
    return this.#faults.first === undefined ? POLLOUT : POLLOUT | POLLIN | POLLRDNORM
  }

  release(): void {
    this.users--
    this.ctx.put()
  }

  /** Its tables are gone, and with them all that was outstanding. */
  override destroy(): void {}

  #checkLength(length: number, record: number): number {
    const { refusals } = this.ctx.engine
    refusals.clear()
    return length % record === 0 ? 0 : refusals.refuse(FAULT_QUEUE_LENGTH, length, record)
  }

  /** What stopped a transfer is its answer when nothing was transferred. */
  #transferred(done: number, rc: number): number {
    if (done === 0) return rc
    this.ctx.engine.refusals.clear()
    return done
  }

  #deliver(task: Task, hi: number, lo: number, next: OutstandingGroup): number {
    const { engine } = this.ctx
    const allocated = engine.allocate()
    if (allocated < 0) return allocated
    const cookie = this.#faults.takeCookie()
    const bytes = faultsOf(next, cookie)
    const rc = engine.copyToUser(task, hi, lo, bytes, 0, bytes.length)
    if (rc < 0) this.#faults.giveCookieBack(cookie)
    else this.#faults.delivered(next, cookie)
    return rc
  }

  #respond(task: Task, hi: number, lo: number): number {
    const { engine } = this.ctx
    const rc = engine.copyFromUser(task, hi, lo, responseBytes, 0, RESPONSE_SIZE)
    if (rc < 0) return rc
    const code = response.getInt32(RESPONSE.code, true)
    const answer = ANSWERS.get(code)
    if (answer === undefined) return engine.refusals.refuse(FAULT_RESPONSE_CODE, code)
    const cookie = response.getInt32(RESPONSE.cookie, true)
    if (this.#faults.answer(cookie, answer)) return 0
    return engine.refusals.refuse(FAULT_RESPONSE_COOKIE, cookie)
  }
}

/** The records of a group, struct iommu_hwpt_pgfault each. */
function faultsOf({ group, deviceId }: OutstandingGroup, cookie: number): Uint8Array {
  const bytes = new Uint8Array(group.requests.length * FAULT_SIZE)
  for (const [i, request] of group.requests.entries()) {
    const { pasid = IOMMU_NO_PASID, grpid, perm, addr } = request
    const flags = flagsOf(request)
    const values = { flags, dev_id: deviceId, pasid, grpid, perm, addr, cookie }
    bytes.set(writeStruct(iommu_hwpt_pgfault, values), i * FAULT_SIZE)
  }
  return bytes
}

function flagsOf({ pasid, lastPage }: PageRequest): number {
  const pasidValid = pasid === undefined ? 0 : IOMMU_PGFAULT_FLAGS_PASID_VALID
  return lastPage ? pasidValid | IOMMU_PGFAULT_FLAGS_LAST_PAGE : pasidValid
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
