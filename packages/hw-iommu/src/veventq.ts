// SPDX-License-Identifier: Apache-2.0
/**
 * Queues of a vIOMMU's events, and the file on which they are read (SPEC L12, L13, section 1).
 *
 * Invariant: at most `depth` events wait. One that finds no room leaves a mark that events are
 * lost, always the last of the queue, which goes when an event follows. Events and marks take
 * numbers from one sequence, so a reader sees how many are missing. The open file is one of the
 * object's users and holds the context; the queue is a user of its vIOMMU.
 */
import { type IommufdCtx, IommufdObject, sumHi, type Ucmd } from '@iommufd/core'
import { File, type FileOperations, type Task } from '@iommufd/host'
import {
  ENOENT,
  IOMMU_VEVENTQ_FLAG_LOST_EVENTS,
  iommu_veventq_alloc,
  iommufd_vevent_header,
  POLLIN,
  writeStruct,
} from '@iommufd/uapi'
import {
  VEVENT_TOO_LONG,
  VEVENTQ_DEPTH,
  VEVENTQ_EXISTS,
  VEVENTQ_FLAGS_OR_TYPE,
  VEVENTQ_NO_DESCRIPTOR,
  VEVENTQ_READ_TOO_SHORT,
} from './refusals.js'
import { type IommufdViommu, VIOMMU } from './viommu.js'

const { at } = iommu_veventq_alloc
const MAX_DEPTH = 1 << 19
const HEADER_BYTES = iommufd_vevent_header.size
/** Sequence numbers are 31 bits. */
const SEQUENCE_MASK = 0x7fffffff
const NO_DATA = new Uint8Array(0)

interface Vevent {
  readonly flags: number
  sequence: number
  readonly data: Uint8Array
}

export class IommufdVeventq extends IommufdObject implements FileOperations {
  readonly typeName: string = 'VEVENTQ'
  readonly viommu: IommufdViommu
  /** IOMMU_VEVENTQ_TYPE_* */
  readonly type: number
  /** The most events that wait. */
  readonly depth: number
  /** Open from the start; its last reference gives the object free. */
  readonly file: File
  /** In order of arrival, the mark of lost events last. */
  readonly #deliver = new Set<Vevent>()
  readonly #lost: Vevent = { flags: IOMMU_VEVENTQ_FLAG_LOST_EVENTS, sequence: 0, data: NO_DATA }
  #sequence = 0

  constructor(viommu: IommufdViommu, type: number, depth: number) {
    super()
    this.viommu = viommu
    this.type = type
    this.depth = depth
    this.users = 1
    viommu.ctx.get()
    viommu.users++
    viommu.veventqs.set(type, this)
    this.file = new File('[iommufd-viommu-event]', this)
  }

  /** An event has happened: 0, also when there is no room for it, or -ENOMEM: it is lost. */
  report(data: Uint8Array): number {
    const isFull = this.#deliver.size - (this.#deliver.has(this.#lost) ? 1 : 0) === this.depth
    const rc = isFull ? 0 : this.#ctx.engine.allocate()
    const isLost = isFull || rc < 0
    this.#deliver.delete(this.#lost)
    const event = isLost ? this.#lost : { flags: 0, sequence: 0, data: data.slice() }
    event.sequence = this.#sequence
    this.#sequence = (this.#sequence + 1) & SEQUENCE_MASK
    this.#deliver.add(event)
    return rc
  }

  /**
   * Events, each behind its header, as many as fit whole: bytes, 0 when none waits; -EINVAL (less
   * than a header, the first event does not fit), -EFAULT.
   */
  read(task: Task, hi: number, lo: number, length: number): number {
    const { refusals } = this.#ctx.engine
    refusals.clear()
    if (length < HEADER_BYTES) return refusals.refuse(VEVENTQ_READ_TOO_SHORT, length)
    let done = 0
    let rc = 0
    for (const event of this.#deliver) {
      const bytes = HEADER_BYTES + event.data.length
      const room = length - done
      rc = bytes > room ? refusals.refuse(VEVENT_TOO_LONG, bytes, room) : 0
      rc ||= this.#copyOut(task, hi, lo, done, headerOf(event))
      if (rc < 0) break
      // As in Linux, a header counts although its event stays because the data cannot be written.
      done += HEADER_BYTES
      rc = event.data.length === 0 ? 0 : this.#copyOut(task, hi, lo, done, event.data)
      if (rc < 0) break
      done += event.data.length
      this.#deliver.delete(event)
    }
    if (done === 0) return rc
    refusals.clear()
    return done
  }

  poll(): number {
    return this.#deliver.size > 0 ? POLLIN : 0
  }

  release(): void {
    this.users--
    this.#ctx.put()
  }

  override destroy(): void {
    this.viommu.veventqs.delete(this.type)
    this.viommu.users--
  }

  get #ctx(): IommufdCtx {
    return this.viommu.ctx
  }

  /** Copies to byte `skip` of the caller's buffer. */
  #copyOut(task: Task, hi: number, lo: number, skip: number, bytes: Uint8Array): number {
    const at = sumHi(hi, lo, 0, skip)
    return this.#ctx.engine.copyToUser(task, at, (lo + skip) | 0, bytes, 0, bytes.length)
  }
}

function headerOf({ flags, sequence }: Vevent): Uint8Array {
  return writeStruct(iommufd_vevent_header, { flags, sequence })
}

/** IOMMU_VEVENTQ_ALLOC: object and descriptor come to be when both are written back. */
export function veventqAlloc(ucmd: Ucmd): number {
  const { ctx } = ucmd
  const { refusals } = ctx.engine
  const flags = ucmd.word(at.flags)
  const type = ucmd.word(at.type)
  const reserved = ucmd.word(at.__reserved)
  if (flags !== 0 || type === 0 || reserved !== 0) {
    return refusals.refuse(VEVENTQ_FLAGS_OR_TYPE, flags, type, reserved)
  }
  const depth = ucmd.u32(at.veventq_depth)
  if (depth === 0 || depth > MAX_DEPTH) return refusals.refuse(VEVENTQ_DEPTH, depth | 0)
  const viommu = ctx.find(ucmd.word(at.viommu_id), VIOMMU)
  if (viommu === undefined) return -ENOENT
  const existing = viommu.veventqs.get(type >>> 0)
  if (existing !== undefined) {
    return refusals.refuse(VEVENTQ_EXISTS, viommu.id, type, existing.id)
  }
  const rc = ctx.engine.allocate()
  return rc < 0 ? rc : make(ucmd, viommu, type >>> 0, depth)
}

function make(ucmd: Ucmd, viommu: IommufdViommu, type: number, depth: number): number {
  const { ctx, task } = ucmd
  const fd = task.unusedFd()
  if (fd < 0) return ctx.engine.refusals.refuse(VEVENTQ_NO_DESCRIPTOR)
  const queue = new IommufdVeventq(viommu, type, depth)
  ctx.objects.reserve(queue)
  ucmd.setWord(at.out_veventq_id, queue.id)
  ucmd.setWord(at.out_veventq_fd, fd)
  const rc = ucmd.respond(iommu_veventq_alloc.size)
  if (rc < 0) {
    queue.file.put()
    queue.destroy()
    ctx.objects.abort(queue)
    return rc
  }
  task.installFile(queue.file)
  ctx.objects.finalize(queue)
  return 0
}
