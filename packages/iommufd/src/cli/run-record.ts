// SPDX-License-Identifier: Apache-2.0
// `iommufd run --record`: what programs do and are answered, as an iommufd-trace (version 1) that a replay on a simulated
// machine verifies.
//
// Invariant: a replay finds before each call what the engine found: the mappings it looked at, the bytes it read, the
// process with its user and limit. Process 1 is nobody: it has the files of shared memory, and all others come from it.

import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import type { CallObserver, LiveMm, LiveProcess, MemoryObserver, ServedCall } from '@iommufd/run'
import { MAP_FIXED, MAP_SHARED, PROT_EXEC, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { encodeHex, formatU64 } from '../trace/hex.js'
import type { IoctlCall, TraceCall } from '../trace/trace.js'
import { argOf, traceCall } from './run-calls.js'
import type { RunOutput } from './run-output.js'
import { givenFdAt, newFdAt } from './run-record-fds.js'
import { type Mapping, RecordedProcess } from './run-record-process.js'

const PAGE = 4096
const PRIVATE = 0x22 | MAP_FIXED
const SHARED = MAP_SHARED | MAP_FIXED
/** Files of shared memory that a recording can have. */
const FILES = 64
const NOT_OPEN = 1000
const INFINITE = 0xffffffffffffffffn

interface Look {
  readonly mm: LiveMm
  readonly address: number
  readonly length: number
  /** what was read there; undefined: it was only looked at, or written */
  readonly bytes: Uint8Array | undefined
}

interface SharedFile {
  readonly fd: number
  size: number
}

type Line = Record<string, unknown>

export class Recorder implements CallObserver, MemoryObserver {
  readonly #output: RunOutput
  readonly #root = new RecordedProcess(1, undefined)
  readonly #processes = new Map<LiveMm, RecordedProcess>()
  readonly #files = new Map<string, SharedFile>()
  readonly #freeFiles: number[] = []
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
    for (let i = 0; i < FILES; i++) {
      const fd = this.#root.takeFd()
      this.#line({ call: 'memfd_create', name: `shared-${i}`, flags: 0, ret: fd })
      this.#freeFiles.push(fd)
    }
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
    if (process?.cut(start, end)) this.#munmap(process, start, end)
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
    if (fd === undefined || (isOpen && served.ret < 0)) {
      this.skipped++
      return
    }
    if (this.#arg !== undefined) this.#patchGiven(process, served, this.#arg)
    for (const look of this.#looks) if (!isIn(look, this.#looks[0])) this.#prepare(look)
    this.#call(process, served, fd)
  }

  #call(process: RecordedProcess, served: ServedCall, fd: number): void {
    const call = traceCall({ ...served, fd }, process.pid, this.#arg, argOf(served))
    if (served.call === 'open' && served.ret >= 0) {
      this.#write({ ...call, ret: process.takeFd(served.process.inodeOf(served.ret)) } as TraceCall)
      return
    }
    if (call.call !== 'ioctl') {
      this.#write(call)
      return
    }
    const newFd = served.newFd < 0 ? -1 : process.takeFd(served.process.inodeOf(served.newFd))
    this.#write({ ...call, ...this.#translated(served, call, newFd), newFd: undefined })
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
      const file = this.#file(keyOf(dev, ino))
      if (file === undefined) return this.#other
      this.#resize(process, file, size)
      return file.fd
    } catch {
      return NOT_OPEN
    }
  }

  #patch(address: number, bytes: Uint8Array): void {
    for (const [at, fd] of this.#patches) {
      const offset = at - address
      if (offset < 0 || offset + 4 > bytes.length) continue
      new DataView(bytes.buffer, bytes.byteOffset).setInt32(offset, fd, true)
    }
  }

  /** Gives a replay the mapping and the bytes that the engine found. */
  #prepare({ mm, address, length, bytes }: Look): void {
    const process = this.#processes.get(mm)
    if (process === undefined || !mm.alive) return
    const end = pageOf(address + length + PAGE - 1)
    for (let at = pageOf(address); at < end; ) at = this.#prepareMapping(process, mm, at, end)
    if (bytes === undefined) return
    this.#patch(address, bytes)
    for (let done = 0; done < bytes.length; )
      done += this.#store(process, address + done, bytes, done)
  }

  /** Puts the mapping at `at` right: up to where. */
  #prepareMapping(process: RecordedProcess, mm: LiveMm, at: number, most: number): number {
    const vma = mm.vma(at)
    if (vma === undefined) {
      if (process.cut(at, at + PAGE)) this.#munmap(process, at, at + PAGE)
      return at + PAGE
    }
    const known = process.at(at)
    const end = Math.min(most, vma.end, known?.end ?? nextOf(process, at))
    const key = vma.shared && vma.inode !== 0 ? `${vma.device}:${vma.inode}` : undefined
    const prot =
      (vma.readable ? PROT_READ : 0) |
      (vma.writable ? PROT_WRITE : 0) |
      (vma.executable ? PROT_EXEC : 0)
    const offset = key === undefined ? 0 : vma.offset + at - vma.start
    const wanted: Mapping = { start: at, end, prot, key, offset }
    if (known === undefined || !isSamePlace(known, wanted)) this.#mmap(process, wanted)
    else if (known.prot !== prot) this.#mprotect(process, wanted, prot)
    return end
  }

  /** Stores what lies in one mapping: how many bytes. */
  #store(process: RecordedProcess, address: number, bytes: Uint8Array, from: number): number {
    const mapping = process.at(address)
    if (mapping === undefined) return bytes.length
    const part = bytes.subarray(from, from + Math.min(bytes.length - from, mapping.end - address))
    const store = { call: 'store', addr: formatU64(address), bytes: encodeHex(part) }
    if ((mapping.prot & PROT_WRITE) !== 0) this.#line(store, process)
    else {
      this.#mprotect(process, mapping, PROT_READ | PROT_WRITE)
      this.#line(store, process)
      this.#mprotect(process, mapping, mapping.prot)
    }
    return part.length
  }

  #mmap(process: RecordedProcess, mapping: Mapping): void {
    const { start, end, prot, key, offset } = mapping
    const file = key === undefined ? undefined : this.#file(key)
    if (file !== undefined) this.#resize(process, file, Math.max(file.size, offset + end - start))
    const addr = formatU64(start)
    const common = { call: 'mmap', addr, length: formatU64(end - start), prot }
    if (file === undefined) this.#line({ ...common, flags: PRIVATE, ret: addr }, process)
    else {
      const where = { fd: file.fd, offset: formatU64(offset) }
      this.#line({ ...common, flags: SHARED, ...where, ret: addr }, process)
    }
    process.put(mapping)
  }

  #munmap(process: RecordedProcess, start: number, end: number): void {
    const length = formatU64(end - start)
    this.#line({ call: 'munmap', addr: formatU64(start), length, ret: 0 }, process)
  }

  #mprotect(process: RecordedProcess, { start, end, key, offset }: Mapping, prot: number): void {
    const length = formatU64(end - start)
    this.#line({ call: 'mprotect', addr: formatU64(start), length, prot, ret: 0 }, process)
    process.put({ start, end, prot, key, offset })
  }

  #resize(process: RecordedProcess, file: SharedFile, size: number): void {
    if (file.size === size) return
    file.size = size
    this.#line({ call: 'ftruncate', fd: file.fd, length: formatU64(size), ret: 0 }, process)
  }

  /** The file of the recording that stands for one of the programs'. Undefined when there are too many. */
  #file(key: string): SharedFile | undefined {
    let file = this.#files.get(key)
    const fd = file === undefined ? this.#freeFiles.shift() : file.fd
    if (fd === undefined) return undefined
    file ??= { fd, size: 0 }
    this.#files.set(key, file)
    return file
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
    for (const { start, end } of process.mappings) this.#munmap(process, start, end)
    process.mappings = []
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
        if (name === 'argAddr' || name === 'addr') return formatU64(value as number | bigint)
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

function pageOf(address: number): number {
  return address - (address % PAGE)
}

/** Where the next mapping begins. */
function nextOf(process: RecordedProcess, at: number): number {
  let next = Number.POSITIVE_INFINITY
  for (const { start } of process.mappings) if (start > at && start < next) next = start
  return next
}

function isSamePlace(known: Mapping, wanted: Mapping): boolean {
  if (known.key !== wanted.key) return false
  return known.key === undefined || known.offset - known.start === wanted.offset - wanted.start
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
