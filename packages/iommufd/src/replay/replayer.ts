// SPDX-License-Identifier: Apache-2.0
// Makes the calls of a recording, one by one, on a fresh simulated machine and compares every answer.
//
// The replayer knows the system calls and nothing of what is behind a descriptor: which answer is right is
// the recording's business, how it comes about the engine's. After a difference it goes on with the recorded
// descriptors and addresses, so that one fault shows as itself and not as the end of the file.

import type { Iommufd } from '@iommufd/core'
import { Machine, type Process } from '@iommufd/host'
import { attachIommufd } from '../engine.js'
import type { U64 } from '../trace/hex.js'
import type {
  FillCall,
  ForkCall,
  HashCall,
  IoctlCall,
  LoadCall,
  MmapCall,
  PollCall,
  ReadCall,
  StatusCall,
  TraceCall,
  TraceHeader,
} from '../trace/trace.js'
import {
  compareBytes,
  compareNumber,
  compareReturn,
  compareStruct,
  type Difference,
} from './differences.js'
import { formatEvents, formatReturn } from './format.js'
import { Fnv1a, Xorshift32 } from './memory.js'
import { failureReason, type Reason, reasonOf } from './reason.js'

const CHUNK_BYTES = 65536

const AGREED: readonly Difference[] = []

export class Replayer {
  readonly machine: Machine
  readonly engine: Iommufd
  readonly #processes = new Map<number, Process>()
  readonly #argPage: { readonly addr: U64; readonly zeros: Uint8Array }
  #differences: Difference[] = []
  #call: TraceCall | undefined
  #ret: U64 | undefined
  #failure: Error | undefined

  /** A fresh machine as the header describes it, with one process and nothing mapped or open. */
  constructor(header: TraceHeader) {
    this.machine = new Machine()
    this.engine = attachIommufd(this.machine, {
      selftest: true,
      maxIovaAlignment: header.maxIovaAlignment,
    })
    this.#processes.set(1, this.machine.spawn({ uid: header.uid }))
    this.#argPage = { addr: header.argPage.addr, zeros: new Uint8Array(header.argPage.length) }
  }

  /** Makes the next call. Returns where our answer differs from the recorded one; empty: nowhere. */
  step(call: TraceCall): readonly Difference[] {
    this.#call = call
    this.#failure = undefined
    this.engine.refusals.clear()
    try {
      this.#ret = this.#make(call)
      if (this.#ret !== undefined && 'ret' in call && call.call !== 'fork') {
        const difference = compareReturn(call.ret, this.#ret)
        if (difference !== undefined) this.#differences.unshift(difference)
      }
    } catch (error) {
      this.#fail(error)
    }
    if (this.#differences.length === 0) return AGREED
    const differences = this.#differences
    this.#differences = []
    return differences
  }

  /** What we returned to the call made last; undefined where the call has no return value. */
  get ret(): U64 | undefined {
    return this.#ret
  }

  /** Why we refused the call made last, undefined when we did not. */
  get reason(): Reason | undefined {
    if (this.#call === undefined) return undefined
    if (this.#failure !== undefined) return failureReason(this.#failure)
    if (this.#ret === undefined || this.#ret >= 0) return undefined
    return reasonOf(this.#call, Number(this.#ret), this.engine.refusals.last)
  }

  /** An exception is a fault of this program, never of the recording: it counts as a difference. */
  #fail(error: unknown): void {
    this.#failure = error instanceof Error ? error : new Error(String(error))
    this.#ret = undefined
    this.#differences.push({ field: 'answer', linux: 'given', ours: 'the engine broke down' })
  }

  #process(pid: number): Process {
    const process = this.#processes.get(pid)
    if (process === undefined) throw new Error(`the replay has no process ${pid}`)
    return process
  }

  #make(call: TraceCall): U64 | undefined {
    const process = this.#process(call.pid)
    switch (call.call) {
      case 'open':
        return process.open(call.path)
      case 'close':
        return process.close(call.fd)
      case 'mmap':
        return this.#mmap(process, call)
      case 'munmap':
        return process.munmap(call.addr, call.length)
      case 'mprotect':
        return process.mprotect(call.addr, call.length, call.prot)
      case 'memfd_create':
        return process.memfdCreate(call.name, call.flags)
      case 'ftruncate':
        return process.ftruncate(call.fd, call.length)
      case 'store':
        return this.#written(process.store(call.addr, call.bytes))
      case 'fill':
        return this.#fill(process, call)
      case 'load':
        return this.#load(process, call)
      case 'hash':
        return this.#hash(process, call)
      case 'ioctl':
        return this.#ioctl(process, call)
      case 'read':
        return this.#read(process, call)
      case 'write':
        return process.write(call.fd, call.addr, call.length)
      case 'poll':
        return this.#poll(process, call)
      case 'setrlimit':
        return process.setrlimitMemlock(call.cur, call.max)
      case 'setresuid':
        return process.setresuid(call.uid)
      case 'fork':
        return this.#fork(process, call)
      case 'exit':
        process.exit()
        this.#processes.delete(call.pid)
        return undefined
      case 'status':
        return this.#status(process, call)
    }
  }

  #mmap(process: Process, call: MmapCall): number {
    if (call.fd === undefined) return process.mmap(call.addr, call.length, call.prot, call.flags)
    const offset = call.offset ?? 0
    return process.mmap(call.addr, call.length, call.prot, call.flags, call.fd, offset)
  }

  /** The recorded process could write its memory, else it would not have lived on. */
  #written(ret: number): number | undefined {
    if (ret === 0) return undefined
    this.#differences.push({ field: 'memory', linux: 'written', ours: formatReturn(ret) })
    return ret
  }

  #fill(process: Process, call: FillCall): number | undefined {
    const stream = new Xorshift32(call.seed)
    return this.#chunks(call.addr, call.length, (addr, length) => {
      const bytes = new Uint8Array(length)
      stream.fill(bytes)
      return this.#written(process.store(addr, bytes))
    })
  }

  #load(process: Process, call: LoadCall): number | undefined {
    const bytes = process.load(call.addr, call.bytes.length)
    compareBytes('bytes', call.bytes, bytes, this.#differences)
    return typeof bytes === 'number' ? bytes : undefined
  }

  #hash(process: Process, call: HashCall): number | undefined {
    const hash = new Fnv1a()
    const fault = this.#chunks(call.addr, call.length, (addr, length) => {
      const bytes = process.load(addr, length)
      if (typeof bytes === 'number') return bytes
      hash.update(bytes)
      return undefined
    })
    if (fault !== undefined) {
      this.#differences.push({ field: 'fnv1a', linux: hex(call.fnv1a), ours: formatReturn(fault) })
    } else {
      compareNumber('fnv1a', call.fnv1a, hash.value, hex, this.#differences)
    }
    return fault
  }

  /** Visits [addr, addr + length) in pieces until one of them gives an answer. */
  #chunks(
    addr: U64,
    length: U64,
    visit: (addr: U64, length: number) => number | undefined,
  ): number | undefined {
    const total = BigInt(length)
    for (let at = 0n; at < total; at += BigInt(CHUNK_BYTES)) {
      const rest = total - at
      const size = rest < CHUNK_BYTES ? Number(rest) : CHUNK_BYTES
      const answer = visit(BigInt(addr) + at, size)
      if (answer !== undefined) return answer
    }
    return undefined
  }

  #ioctl(process: Process, call: IoctlCall): number {
    const { arg, out, newFd } = call
    if (arg !== undefined && !call.argPreset) {
      this.#written(process.store(this.#argPage.addr, this.#argPage.zeros))
      this.#written(process.store(call.argAddr, arg))
    }
    const wasOpen = newFd !== undefined && process.file(newFd) !== undefined
    const ret = process.ioctl(call.fd, call.cmd, call.argAddr)
    if (out !== undefined) {
      compareStruct(call.cmd, out, process.load(call.argAddr, out.length), this.#differences)
    }
    if (newFd !== undefined) {
      const appeared = !wasOpen && process.file(newFd) !== undefined
      const ours = wasOpen ? 'open before' : 'not open'
      if (!appeared) this.#differences.push({ field: 'newFd', linux: `${newFd}`, ours })
    }
    return ret
  }

  #read(process: Process, call: ReadCall): number {
    const ret = process.read(call.fd, call.addr, call.length)
    if (call.bytes !== undefined && ret === call.ret) {
      compareBytes('bytes', call.bytes, process.load(call.addr, ret), this.#differences)
    }
    return ret
  }

  #poll(process: Process, call: PollCall): number {
    const { ret, revents } = process.poll(call.fd, call.events)
    compareNumber('revents', call.revents, revents, formatEvents, this.#differences)
    return ret
  }

  /** The new process gets the recorded number: numbers of processes are the recording's own. */
  #fork(process: Process, call: ForkCall): undefined {
    const child = process.fork()
    if (call.ret >= 0) this.#processes.set(call.ret, child)
    else {
      this.#differences.push({ field: 'ret', linux: formatReturn(call.ret), ours: 'a process' })
      child.exit()
    }
    return undefined
  }

  #status(process: Process, call: StatusCall): undefined {
    const { VmPin, VmLck } = process.status()
    compareNumber('VmPin', call.VmPin, VmPin, kilobytes, this.#differences)
    compareNumber('VmLck', call.VmLck, VmLck, kilobytes, this.#differences)
    return undefined
  }
}

function hex(value: number): string {
  return `0x${value.toString(16)}`
}

function kilobytes(value: number): string {
  return `${value} kB`
}
