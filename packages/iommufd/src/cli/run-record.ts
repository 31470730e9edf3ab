// SPDX-License-Identifier: Apache-2.0
// `iommufd run --record`: what programs do and are answered, as an iommufd-trace (version 1) that a replay on a simulated
// machine verifies.
//
// Invariant: a replay finds before each call what the engine found: the mappings it looked at, the bytes it read, the
// process with its user and limit. Process 1 is nobody: it has the files of shared memory, and all others come from it.

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import type { CallObserver, LiveMm, LiveProcess, MemoryObserver, ServedCall } from '@iommufd/run'
import { MAP_FIXED } from '@iommufd/uapi'
import { encodeHex, formatU64 } from '../trace/hex.js'
import type { IoctlCall, MmapCall, TraceCall } from '../trace/trace.js'
import { argOf, isRecordable, type RecordableCall, traceCall } from './run-calls.js'
import type { RunOutput } from './run-output.js'
import { givenFdAt, givesUntoldFd, newFdAt } from './run-record-fds.js'
import { type Look, pageOf, RecordedMemory } from './run-record-memory.js'
import { RecordedProcess } from './run-record-process.js'

const PAGE = 4096
/** Files of shared memory that a recording can have. */
const FILES = 64
const NOT_OPEN = 1000
/** Where programs have nothing. */
const NOWHERE = 0x7e0000000000
/** Members that are addresses or positions in files. */
const ADDRESSES = new Set(['argAddr', 'addr', 'offset'])
const INFINITE = 0xffffffffffffffffn

type Line = Record<string, unknown>

export class Recorder implements CallObserver, MemoryObserver {
  readonly #output: RunOutput
  readonly #root = new RecordedProcess(1, undefined)
  readonly #processes = new Map<LiveMm, RecordedProcess>()
  readonly #memory: RecordedMemory
  #other = NOT_OPEN
  #born = 1
  #looks: Look[] = []
  #released: number[] = []
  #arg: Uint8Array | undefined
  /** Descriptors in structs that have other numbers in the recording, by address. */
  readonly #patches = new Map<number, number>()
  /** Calls that the format cannot express. */
  skipped = 0

  constructor(output: RunOutput, kernel: string) {
    this.#output = output
    this.#line({
      ...{ format: 'iommufd-trace', version: 1, kernel, arch: 'x86_64', pageSize: PAGE },
      ...{ maxIovaAlignment: 0x200000, profile: 'run', seed: 0, ops: 0, edgePercent: 0, uid: 0 },
      argPage: { addr: '0x100000000', length: '0x1000' },
    })
    const [cur, max] = [formatU64(this.#root.memlock), formatU64(INFINITE)]
    this.#line({ call: 'setrlimit', resource: 'MEMLOCK', cur, max, ret: 0 })
    const files = Array.from({ length: FILES }, () => this.#root.takeFd())
    for (const [i, ret] of files.entries()) {
      this.#line({ call: 'memfd_create', name: `shared-${i}`, flags: 0, ret })
    }
    this.#memory = new RecordedMemory((line, process) => this.#line(line, process), files)
    this.#other = this.#root.takeFd()
    this.#line({ call: 'open', path: '/dev/null', ret: this.#other })
  }

  read(mm: LiveMm, address: number, bytes: Uint8Array): void {
    this.#looks.push({ mm, address, length: bytes.length, bytes: bytes.slice() })
  }

  written(mm: LiveMm, address: number, bytes: Uint8Array): void {
    this.#looks.push({ mm, address, length: bytes.length, bytes: undefined })
  }

  touched(mm: LiveMm, address: number, length: number): void {
    this.#looks.push({ mm, address, length, bytes: undefined })
  }

  remapped(mm: LiveMm, address: number, length: number): void {
    const process = this.#processes.get(mm)
    const [start, end] = [pageOf(address), pageOf(address + length + PAGE - 1)]
    if (process !== undefined) this.#memory.forget(process, start, end)
  }

  released(inode: number): void {
    this.#released.push(inode)
  }

  before(served: ServedCall): void {
    this.#looks = []
    this.#patches.clear()
    this.#arg = argOf(served)
    // The whole struct is compared afterwards, also where the engine looks at its beginning only.
    if (this.#arg !== undefined) this.read(served.process.mm, addressOf(served), this.#arg)
  }

  after(served: ServedCall): void {
    const process = this.#processOf(served.process)
    this.#endings()
    this.#credentials(process, served.process)
    const isOpen = served.call === 'open'
    const fd = isOpen ? -1 : process.fds.get(served.process.inodeOf(served.fd))
    // An open fails by its flags, which the format does not have.
    if (fd === undefined || (isOpen && served.ret < 0) || !isRecordable(served)) {
      this.skipped++
      return
    }
    if (this.#arg !== undefined) this.#patchGiven(process, served, this.#arg)
    for (const look of this.#looks) if (!isIn(look, this.#looks[0])) this.#prepare(look)
    this.#call(process, served, fd)
  }

  #call(process: RecordedProcess, served: RecordableCall, fd: number): void {
    const call = traceCall({ ...served, fd }, process.pid, this.#arg, argOf(served))
    if (served.call === 'open' && served.ret >= 0) {
      this.#write({ ...call, ret: process.takeFd(served.process.inodeOf(served.ret)) } as TraceCall)
      return
    }
    if (call.call === 'mmap') {
      this.#write(recordedMmap(call))
      if (served.ret >= 0) this.#memory.mapDevice(process, served.ret, served.cmd)
      return
    }
    if (call.call !== 'ioctl') {
      this.#write(call)
      return
    }
    const newFd = served.newFd < 0 ? -1 : process.takeFd(served.process.inodeOf(served.newFd))
    const { arg } = call
    const isUntold = newFd >= 0 && arg !== undefined && givesUntoldFd(served.cmd, arg)
    const translated = this.#translated(served, call, newFd)
    this.#write({ ...call, ...translated, newFd: isUntold ? newFd : undefined })
  }

  /** The struct before and after, with the recording's descriptors. */
  #translated(
    served: ServedCall,
    { arg, out }: IoctlCall,
    newFd: number,
  ): Pick<IoctlCall, 'arg' | 'out'> {
    if (arg === undefined || out === undefined) return { arg, out }
    const [before, after] = [arg.slice(), out.slice(0, arg.length)]
    const address = addressOf(served)
    this.#patch(address, before)
    this.#patch(address, after)
    const at = newFd < 0 ? -1 : newFdAt(served.cmd, arg)
    if (at >= 0) new DataView(after.buffer).setUint32(at, newFd, true)
    // What could be read before but not after is as if it could not be read.
    return after.length === before.length ? { arg: before, out: after } : noBytes
  }

  /** Notes which descriptor a struct names in the recording. */
  #patchGiven(process: RecordedProcess, served: ServedCall, arg: Uint8Array): void {
    const at = givenFdAt(served.cmd, arg)
    if (at < 0) return
    const fd = new DataView(arg.buffer, arg.byteOffset).getInt32(at, true)
    const inode = served.process.inodeOf(fd)
    const known = process.fds.get(inode) ?? this.#foreign(process, served.process, fd)
    this.#patches.set(addressOf(served) + at, known)
  }

  /** The recording's descriptor for a file that is none of ours. */
  #foreign(process: RecordedProcess, live: LiveProcess, fd: number): number {
    const path = `/proc/${live.pid}/fd/${fd}`
    try {
      const { dev, ino, size } = statSync(path)
      const isMemory = /^\/(memfd:|dev\/shm\/)/.test(readlinkSync(path))
      if (!isMemory) return this.#other
      const file = this.#memory.file(keyOf(dev, ino))
      if (file === undefined) return this.#other
      this.#memory.resize(process, file, size)
      return file.fd
    } catch {
      return NOT_OPEN
    }
  }

  /** Gives a replay what the engine found, with the recording's descriptors. */
  #prepare(look: Look): void {
    const process = this.#processes.get(look.mm)
    if (process === undefined || !look.mm.alive) return
    if (look.bytes !== undefined) this.#patch(look.address, look.bytes)
    this.#memory.prepare(process, look)
  }

  #patch(address: number, bytes: Uint8Array): void {
    for (const [at, fd] of this.#patches) {
      const offset = at - address
      if (offset < 0 || offset + 4 > bytes.length) continue
      new DataView(bytes.buffer, bytes.byteOffset).setInt32(offset, fd, true)
    }
  }

  #processOf(live: LiveProcess): RecordedProcess {
    const known = this.#processes.get(live.mm)
    if (known !== undefined) return known
    const parent = this.#parentOf(live)
    const process = parent.child(++this.#born, live)
    this.#line({ call: 'fork', ret: process.pid }, parent)
    this.#processes.set(live.mm, process)
    const held = inodesOf(live.pid)
    for (const inode of [...process.fds.keys()]) if (!held.has(inode)) this.#close(process, inode)
    if (parent.live?.pid === live.pid) this.#forgetMemory(process)
    return process
  }

  /** Whoever has what the process has: its former self, its parent, or one that gave it a file. */
  #parentOf(live: LiveProcess): RecordedProcess {
    const all = [...this.#processes.values()]
    const ppid = parentPid(live.pid)
    const held = inodesOf(live.pid)
    return (
      all.find((process) => process.live?.pid === live.pid) ??
      all.find((process) => process.live?.pid === ppid && process.mm?.alive) ??
      all.find((process) => [...process.fds.keys()].some((inode) => held.has(inode))) ??
      this.#root
    )
  }

  /** The process has executed another program. */
  #forgetMemory(process: RecordedProcess): void {
    for (const { start, end } of [...process.mappings]) this.#memory.forget(process, start, end)
  }

  /** Processes and files that have ended since the last call. */
  #endings(): void {
    for (const [mm, process] of this.#processes) {
      if (mm.alive) continue
      this.#processes.delete(mm)
      this.#output.line(JSON.stringify({ call: 'exit', pid: process.pid }))
    }
    for (const inode of this.#released.splice(0)) {
      for (const process of this.#processes.values()) this.#close(process, inode)
    }
  }

  #close(process: RecordedProcess, inode: number): void {
    const fd = process.dropFd(inode)
    if (fd !== undefined) this.#line({ call: 'close', fd, ret: 0 }, process)
  }

  #credentials(process: RecordedProcess, live: LiveProcess): void {
    const memlock = live.rlimitMemlock
    if (memlock !== process.memlock) {
      process.memlock = memlock
      const cur = formatU64(Number.isFinite(memlock) ? memlock : INFINITE)
      const limits = { cur, max: formatU64(INFINITE) }
      this.#line({ call: 'setrlimit', resource: 'MEMLOCK', ...limits, ret: 0 }, process)
    }
    const { uid } = live.user
    if (uid === process.uid) return
    process.uid = uid
    this.#line({ call: 'setresuid', uid, ret: 0 }, process)
  }

  #write(call: TraceCall): void {
    const { line: _, ...members } = call
    this.#output.line(
      JSON.stringify(members, (name, value: unknown) => {
        if (value instanceof Uint8Array) return encodeHex(value)
        if (name === 'cmd' && call.call === 'ioctl') return formatU64(value as number)
        if (ADDRESSES.has(name)) return formatU64(value as number | bigint)
        if (name === 'ret' && typeof value === 'bigint') return formatU64(value)
        if (name === 'length' && call.call === 'mmap') return formatU64(value as number)
        if (name === 'pid' && value === 1) return undefined
        if (name === 'argPreset' && (call as IoctlCall).arg === undefined) return undefined
        return value
      }),
    )
  }

  #line(line: Line, process: RecordedProcess = this.#root): void {
    const pid = process.pid === 1 ? {} : { pid: process.pid }
    this.#output.line(JSON.stringify({ ...line, ...pid }))
  }
}

/** In a recording a mapping has the place that it was given; one that was refused, a place where nothing is. */
function recordedMmap(call: MmapCall): MmapCall {
  const ret = call.ret < 0 ? call.ret : BigInt(call.ret)
  return { ...call, addr: call.ret < 0 ? NOWHERE : call.ret, flags: call.flags | MAP_FIXED, ret }
}

function addressOf({ argHi, argLo }: ServedCall): number {
  return (argHi >>> 0) * 0x100000000 + (argLo >>> 0)
}

const noBytes = { arg: undefined, out: undefined }

/** Whether the bytes of a look are among those of the call's struct, the first one. */
function isIn(look: Look, struct: Look | undefined): boolean {
  if (struct?.bytes === undefined || look === struct || look.mm !== struct.mm) return false
  const isInside =
    struct.address <= look.address && look.address + look.length <= struct.address + struct.length
  return isInside && look.bytes !== undefined
}

function keyOf(dev: number, ino: number): string {
  const major = Math.floor(dev / 256) & 0xfff
  const minor = (dev & 0xff) | (Math.floor(dev / 4096) & 0xfff00)
  return `${major}:${minor}:${ino}`
}

function parentPid(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'latin1')
  return Number(/^PPid:\s+(\d+)/m.exec(status)?.[1] ?? 0)
}

/** Inodes of the sockets that a process has open. */
function inodesOf(pid: number): Set<number> {
  const inodes = new Set<number>()
  for (const name of readdirSync(`/proc/${pid}/fd`)) {
    try {
      const match = /^socket:\[(\d+)\]$/.exec(readlinkSync(`/proc/${pid}/fd/${name}`))
      if (match !== null) inodes.add(Number(match[1]))
    } catch {
      // Closed meanwhile by another thread.
    }
  }
  return inodes
}
