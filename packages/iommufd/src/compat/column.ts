// SPDX-License-Identifier: Apache-2.0
// One side of a comparison: a machine with an engine, groups with devices, and the recorded processes.
//
// Invariant: processes have their recorded numbers, and the same memory and descriptors on both sides: a
// descriptor that only the other side can make is held by a file that does nothing.

import { type Iommufd, IommufdCtx } from '@iommufd/core'
import { File, Machine, type Process } from '@iommufd/host'
import { Iommu } from '@iommufd/hw-iommu'
import {
  EmulatedVfioDevice,
  PhysicalVfioDevice,
  Vfio,
  type VfioDevice,
  type VfioGroup,
} from '@iommufd/vfio-compat/group'
import { attachIommufd } from '../engine.js'
import { Xorshift32 } from '../replay/memory.js'
import type { FillCall, IoctlCall, MmapCall, TraceCall, TraceHeader } from '../trace/trace.js'
import type { Outcome } from './outcome.js'
import { PlainDevice, PlainDriver, type PlainTraits } from './plain-iommu.js'
import { type GroupPlan, groupNumber } from './plan.js'

const CHUNK_BYTES = 65536

export class Column {
  readonly machine: Machine = new Machine()
  readonly engine: Iommufd
  readonly vfio: Vfio
  /** A process of root that is not in the recording. */
  readonly helper: Process
  readonly #iommu: Iommu
  readonly #processes = new Map<number, Process>()
  readonly #header: TraceHeader
  readonly #isType1: boolean

  constructor(as: 'type1' | 'iommufd', header: TraceHeader, plan: GroupPlan) {
    this.#header = header
    this.#isType1 = as === 'type1'
    this.engine = attachIommufd(this.machine, {
      as,
      selftest: true,
      maxIovaAlignment: header.maxIovaAlignment,
      onWarning: () => {},
    })
    this.vfio = new Vfio(this.engine, this.machine)
    this.#iommu = new Iommu(this.engine)
    this.#iommu.registerDriver(new PlainDriver(this.#iommu))
    for (const [group, names] of plan) {
      for (const name of names) this.#addDevice(this.physical(name), group)
    }
    this.#processes.set(1, this.machine.spawn({ uid: header.uid }))
    this.helper = this.machine.spawn()
  }

  /** The recorded processes that live, by their recorded numbers. */
  get processes(): ReadonlyMap<number, Process> {
    return this.#processes
  }

  process(pid: number): Process {
    const process = this.#processes.get(pid)
    if (process === undefined) throw new Error(`the replay has no process ${pid}`)
    return process
  }

  /** A device behind an IOMMU of its own. */
  physical(name: string, traits?: PlainTraits): VfioDevice {
    const device = new PlainDevice(name, traits)
    this.#iommu.addDevice(device)
    return new PhysicalVfioDevice(device)
  }

  /** Gives a device a new group. */
  groupOf(device: VfioDevice): VfioGroup {
    this.#addDevice(device)
    return device.group as VfioGroup
  }

  /** A device that the kernel emulates. */
  emulated(name: string): VfioDevice {
    return new EmulatedVfioDevice(name, () => {})
  }

  /** Everything but an ioctl: its return value, where it has one that can be compared. */
  play(call: TraceCall): number | undefined {
    const process = this.process(call.pid)
    switch (call.call) {
      case 'open':
        return process.open(this.#pathOf(call.path))
      case 'close':
        return process.close(call.fd)
      case 'mmap':
        playMmap(process, call)
        return undefined
      case 'munmap':
        return process.munmap(call.addr, call.length)
      case 'mprotect':
        return process.mprotect(call.addr, call.length, call.prot)
      case 'memfd_create':
        return process.memfdCreate(call.name, call.flags)
      case 'ftruncate':
        return process.ftruncate(call.fd, call.length)
      case 'store':
        process.store(call.addr, call.bytes)
        return undefined
      case 'fill':
        playFill(process, call)
        return undefined
      case 'setrlimit':
        return process.setrlimitMemlock(call.cur, call.max)
      case 'setresuid':
        return process.setresuid(call.uid)
      case 'fork':
        if (call.ret >= 0) this.#processes.set(call.ret, process.fork())
        return undefined
      case 'exit':
        process.exit()
        this.#processes.delete(call.pid)
        return undefined
      default:
        return undefined
    }
  }

  /** Puts the struct of an ioctl where the program had it. */
  storeArg({ pid, arg, argAddr, argPreset }: IoctlCall): void {
    if (arg === undefined || argPreset) return
    const process = this.process(pid)
    const { addr, length } = this.#header.argPage
    process.store(addr, new Uint8Array(length))
    process.store(argAddr, arg)
  }

  /** Makes an ioctl on a descriptor, or on a file of our own in its place. */
  ioctl(call: IoctlCall, instead?: File): Outcome {
    this.storeArg(call)
    return this.repeat(call, instead)
  }

  /** The same with the struct as it lies there. */
  repeat(call: IoctlCall, instead?: File): Outcome {
    const process = this.process(call.pid)
    this.engine.refusals.clear()
    const ret =
      instead === undefined
        ? process.ioctl(call.fd, call.cmd, call.argAddr)
        : ioctlOn(process, instead, call)
    const { last } = this.engine.refusals
    const refusal = ret < 0 && last?.errno === -ret ? last : undefined
    const out = call.arg && process.load(call.argAddr, call.arg.length)
    return { ret, out, refusal }
  }

  /** Gives the process the descriptors that it has on the other side, and no others. */
  alignDescriptors(pid: number, other: Process, most: number): void {
    const process = this.process(pid)
    for (let fd = 0; fd <= most; fd++) {
      const isThere = process.file(fd) !== undefined
      if (other.file(fd) === undefined) {
        if (isThere) process.close(fd)
      } else if (!isThere) process.installFile(new File('other side', {}))
    }
  }

  #addDevice(device: VfioDevice, group?: number): void {
    const number = this.vfio.addDevice(device, group)
    if (number < 0) throw new Error(`${device.name} cannot be used`)
  }

  /** Type 1 has one kind of container. */
  #pathOf(path: string): string {
    if (this.#isType1 && path === '/dev/iommu') return '/dev/vfio/vfio'
    return groupNumber(path) === undefined ? path : path.replace(/\/0+(?=\d)/, '/')
  }
}

/** An ioctl on an open file that the process has no descriptor of. */
function ioctlOn(process: Process, file: File, { cmd, argAddr }: IoctlCall): number {
  const value = BigInt.asUintN(64, BigInt(argAddr))
  const hi = Number(BigInt.asIntN(32, value >> 32n))
  return file.ops.ioctl?.(process, cmd >>> 0, hi, Number(BigInt.asIntN(32, value))) ?? -1
}

function playMmap(process: Process, call: MmapCall): void {
  if (call.fd === undefined) process.mmap(call.addr, call.length, call.prot, call.flags)
  else process.mmap(call.addr, call.length, call.prot, call.flags, call.fd, call.offset ?? 0)
}

function playFill(process: Process, { addr, length, seed }: FillCall): void {
  const stream = new Xorshift32(seed)
  const total = Number(length)
  for (let at = 0; at < total; at += CHUNK_BYTES) {
    const bytes = new Uint8Array(Math.min(CHUNK_BYTES, total - at))
    stream.fill(bytes)
    if (process.store(BigInt(addr) + BigInt(at), bytes) < 0) return
  }
}

/** The context behind a descriptor, undefined where it is something else. */
export function contextOf(column: Column, pid: number, fd: number): IommufdCtx | undefined {
  const ops = column.process(pid).file(fd)?.ops
  return ops instanceof IommufdCtx ? ops : undefined
}
