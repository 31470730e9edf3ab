// SPDX-License-Identifier: Apache-2.0
// A recorded VFIO program made again on both sides, call by call: where an iommufd answers otherwise than
// vfio_iommu_type1.
//
// Invariant: what is not VFIO's (memory, processes, limits) happens on both sides alike; ioctls of iommufd itself
// happen on the iommufd alone. After a difference each side goes on with its own state; calls that differ
// only because of that are told to follow from the call where it began.

import type { File } from '@iommufd/host'
import { VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU } from '@iommufd/uapi'
import { compareStruct, type Difference } from '../replay/differences.js'
import { formatCall, formatReturn } from '../replay/format.js'
import type { IoctlCall, OpenCall, StatusCall, Trace, TraceCall } from '../trace/trace.js'
import { Column, contextOf } from './column.js'
import { Containers, type Counterpart } from './containers.js'
import { type Facts, type Finding, findRows } from './facts.js'
import type { Outcome } from './outcome.js'
import { planGroups } from './plan.js'

/** A part of an answer that is not the same. */
export interface CompatField {
  readonly field: string
  readonly type1: string
  readonly iommufd: string
}

/** A call that is not answered alike. */
export interface CompatDifference {
  /** line of the recording, from 2 */
  readonly line: number
  readonly pid: number
  readonly call: string
  readonly type1: string
  readonly iommufd: string
  readonly fields: readonly CompatField[]
  /** rows of the table of differences, V1 to V33; empty: none of its own */
  readonly rows: readonly string[]
  /** the line of the call that this one follows from */
  readonly follows: number | undefined
}

export interface CompatResult {
  readonly file: string
  /** calls in the recording */
  readonly calls: number
  /** calls that were made on both sides and compared */
  readonly compared: number
  readonly differences: readonly CompatDifference[]
  /** lines at which VFIO_SET_IOMMU was made on the type 1 side in the program's stead */
  readonly assumed: readonly number[]
}

/** Sees both sides after every call. */
export type Observer = (iommufd: Column, type1: Column) => void

/** Compares what a recorded program gets from type 1 and from an iommufd. */
export function compareTrace(trace: Trace, observe: Observer = () => {}): CompatResult {
  const comparison = new Comparison(trace)
  for (const call of trace.calls) {
    comparison.step(call)
    comparison.show(observe)
  }
  return comparison.result
}

const isContainerCall = (cmd: number): boolean => cmd >>> 8 === 0x3b && (cmd & 0xff) < 0x80

class Comparison {
  readonly #trace: Trace
  readonly #iommufd: Column
  readonly #type1: Column
  readonly #containers: Containers
  readonly #differences: CompatDifference[] = []
  readonly #assumed: number[] = []
  #compared = 0
  #highestFd = 2
  #isVfio = false

  constructor(trace: Trace) {
    this.#trace = trace
    const plan = planGroups(trace.calls)
    this.#iommufd = new Column('iommufd', trace.header, plan)
    this.#type1 = new Column('type1', trace.header, plan)
    this.#containers = new Containers(this.#iommufd, this.#type1)
  }

  get result(): CompatResult {
    const { file, calls } = this.#trace
    const [compared, differences, assumed] = [this.#compared, this.#differences, this.#assumed]
    return { file, calls: calls.length, compared, differences, assumed }
  }

  show(observe: Observer): void {
    observe(this.#iommufd, this.#type1)
  }

  step(call: TraceCall): void {
    if (call.call === 'ioctl') this.#ioctl(call)
    else if (call.call === 'status') this.#status(call)
    else {
      const iommufd = this.#iommufd.play(call)
      if (call.call !== 'open') this.#type1.play(call)
      else if (iommufd !== undefined && iommufd >= 0) this.#opened(call, iommufd)
    }
    if (call.call !== 'exit') this.#align(call)
  }

  /** A context on one side is a container on the other. */
  #opened(call: OpenCall, fd: number): void {
    const opened = this.#type1.play(call) ?? -1
    const ctx = contextOf(this.#iommufd, call.pid, fd)
    const file = this.#type1.process(call.pid).file(opened)
    if (ctx !== undefined && file !== undefined) this.#containers.opened(ctx, file)
    this.#highestFd = Math.max(this.#highestFd, fd)
  }

  #align(call: TraceCall): void {
    const process = this.#iommufd.process(call.pid)
    // No call makes more than two descriptors.
    this.#highestFd += 2
    this.#highestFd = highestDescriptor((fd) => process.file(fd), this.#highestFd)
    this.#type1.alignDescriptors(call.pid, process, this.#highestFd + 1)
  }

  #ioctl(call: IoctlCall): void {
    const ctx = contextOf(this.#iommufd, call.pid, call.fd)
    if (ctx !== undefined && isContainerCall(call.cmd)) {
      const counterpart = this.#containers.of(ctx)
      this.#isVfio = true
      this.#compare(call, counterpart)
      return
    }
    if (ctx === undefined && isContainerCall(call.cmd)) this.#groupCall(call)
    else {
      const changes = this.#containers.watch(ctx)
      this.#iommufd.ioctl(call)
      if (ctx !== undefined && changes()) this.#containers.of(ctx).diverge(call.line, [])
    }
    this.#containers.follow(call.line)
  }

  /** A call on a group; devices are the business of whoever stands behind them. */
  #groupCall(call: IoctlCall): void {
    const name = this.#iommufd.process(call.pid).file(call.fd)?.name ?? ''
    if (!name.startsWith('/dev/vfio/')) {
      this.#iommufd.ioctl(call)
      return
    }
    this.#isVfio = true
    this.#compare(call, undefined)
  }

  #compare(call: IoctlCall, counterpart: Counterpart | undefined): void {
    const iommufd = this.#iommufd.ioctl(call)
    if (counterpart?.isAssumed === true && call.cmd === VFIO_SET_IOMMU && iommufd.ret === 0) return
    const type1 = this.#type1.ioctl(call, counterpart?.file)
    this.#compared++
    const fields: Difference[] = []
    if (iommufd.out instanceof Uint8Array && type1.out !== undefined) {
      compareStruct(call.cmd, iommufd.out, type1.out, fields)
    }
    if (type1.ret !== iommufd.ret || fields.length > 0) {
      this.#report(call, counterpart, type1, iommufd, fields)
    }
  }

  #report(
    call: IoctlCall,
    counterpart: Counterpart | undefined,
    type1: Outcome,
    iommufd: Outcome,
    fields: readonly Difference[],
  ): void {
    const finding = findRows(factsOf(call, counterpart, type1, iommufd, fields))
    const { line, pid } = call
    const cause = finding.isCertain ? undefined : counterpart?.causeOf(call)
    this.#differences.push({
      line,
      pid,
      call: formatCall({ ...call, out: undefined }),
      type1: formatReturn(type1.ret),
      iommufd: formatReturn(iommufd.ret),
      fields: fields.map(({ field, linux, ours }) => ({ field, iommufd: linux, type1: ours })),
      rows: cause?.rows ?? finding.rows,
      follows: cause?.line,
    })
    this.#goOn(call, counterpart, finding, type1)
  }

  /** After a difference: the program is taken to have made SET_IOMMU, and ranges to be not alike. */
  #goOn(
    call: IoctlCall,
    counterpart: Counterpart | undefined,
    finding: Finding,
    type1: Outcome,
  ): void {
    if (counterpart === undefined) return
    const lacksIommu = finding.rows.includes('V2') && type1.refusal?.id === 'TYPE1_NOT_SET'
    if (lacksIommu && this.#assumeIommu(call, counterpart)) return
    counterpart.diverge(call.line, finding.rows, call)
  }

  #assumeIommu(call: IoctlCall, counterpart: Counterpart): boolean {
    const { file } = counterpart
    const set = { ...call, cmd: VFIO_SET_IOMMU, argAddr: VFIO_TYPE1v2_IOMMU, arg: undefined }
    if (this.#type1.ioctl(set, file).ret !== 0) return false
    counterpart.isAssumed = true
    this.#assumed.push(call.line)
    this.#type1.ioctl(call, file)
    return true
  }

  #status(call: StatusCall): void {
    if (!this.#isVfio) return
    this.#compared++
    const iommufd = this.#iommufd.process(call.pid).status()
    const type1 = this.#type1.process(call.pid).status()
    const names = ['VmPin', 'VmLck'] as const
    const fields = names
      .filter((name) => iommufd[name] !== type1[name])
      .map((field) => ({ field, type1: `${type1[field]} kB`, iommufd: `${iommufd[field]} kB` }))
    if (fields.length === 0) return
    const { line, pid } = call
    const text = (status: typeof type1) => `VmPin ${status.VmPin} kB, VmLck ${status.VmLck} kB`
    const sides = { type1: text(type1), iommufd: text(iommufd) }
    const where = { line, pid, call: formatCall(call), rows: ['V16'], follows: undefined }
    this.#differences.push({ ...where, ...sides, fields })
  }
}

function factsOf(
  call: IoctlCall,
  counterpart: Counterpart | undefined,
  type1: Outcome,
  iommufd: Outcome,
  fields: readonly Difference[],
): Facts {
  const { arg, cmd } = call
  const hasFlags = arg !== undefined && arg.length >= 8
  const flags = hasFlags ? new DataView(arg.buffer, arg.byteOffset).getUint32(4, true) : 0
  return {
    cmd,
    flags,
    type1,
    iommufd,
    fields: fields.map(({ field }) => field),
    isFirstVersion: counterpart?.isFirstVersion ?? false,
    isOnlyEmulated: counterpart?.isOnlyEmulated ?? false,
  }
}

/** The highest descriptor that is open, looking from `from` down. */
function highestDescriptor(fileOf: (fd: number) => File | undefined, from: number): number {
  let fd = from
  while (fd > 2 && fileOf(fd) === undefined) fd--
  return fd
}
