// SPDX-License-Identifier: Apache-2.0
//
// System calls that change mappings.
//
// Invariant: shared anonymous memory has a file of ours behind it, so that its pages can be kept and shared, and so has what
// the engine lets a program map; all other memory is mapped by the program itself. Where no file can be had for anonymous
// memory the program's own call goes on.

import type { DeviceMapping } from '@iommufd/host'
import { EACCES, EINVAL } from '@iommufd/uapi'
import { type Caller, O_CLOEXEC } from './caller.js'
import { MMAP_FLAGS_MASK, SHARED_ANONYMOUS } from './filter.js'
import { close } from './libc.js'
import { OUR_MMAP, PAGE_SIZE } from './limits.js'
import type { CallObserver } from './served-call.js'

const MAP_TYPE = 0xf
const MAP_PRIVATE = 2
const MAP_FIXED = 0x10
const MAP_ANONYMOUS = 0x20
const MOST_BYTES = 2 ** 46

export class MemoryCalls {
  readonly #caller: Caller
  readonly #observer: CallObserver | undefined

  constructor(caller: Caller, observer: CallObserver | undefined) {
    this.#caller = caller
    this.#observer = observer
  }

  mmap(): undefined {
    const { listener } = this.#caller
    const flags = listener.argLo(3)
    if ((flags & MAP_FIXED) !== 0) this.#remapped(listener.arg(0), listener.arg(1))
    if ((flags & MMAP_FLAGS_MASK) === SHARED_ANONYMOUS) return this.#mapAnonymous()
    if ((flags & MAP_ANONYMOUS) === 0) return this.#mapFile()
    listener.goOn()
  }

  #mapAnonymous(): undefined {
    const { listener } = this.#caller
    const bytes = rounded(listener.arg(1))
    const fd = bytes > 0 && bytes < MOST_BYTES ? this.#giveMemory(bytes) : -1
    const result = fd < 0 ? undefined : this.#map(fd, 0)
    if (result === undefined) return listener.goOn()
    this.#caller.reply(result)
  }

  /** Pages of the engine; a file without any is a socket's, which answers ENODEV itself. */
  #mapFile(): undefined {
    const { listener, host } = this.#caller
    const fd = listener.argLo(4)
    const file = fd < 0 ? undefined : host.files.find(listener.tid, fd)
    const length = listener.arg(1)
    const offset = listener.arg(5)
    const isPlain = length > 0 && length < MOST_BYTES && offset % PAGE_SIZE === 0
    if (file?.ops.mmap === undefined || !isPlain) return listener.goOn()
    const process = this.#caller.enter()
    const [prot, flags] = [listener.argLo(2), listener.argLo(3)]
    const [argHi, argLo] = [listener.argHi(0), listener.argLo(0)]
    const what = {
      call: 'mmap',
      path: '',
      fd,
      cmd: length,
      argHi,
      argLo,
      prot,
      flags,
      offset,
    } as const
    this.#caller.answerWith(process, what, () => {
      const isShared = (flags & MAP_TYPE) !== MAP_PRIVATE
      const page = offset / PAGE_SIZE
      const mapping = file.ops.mmap?.(process, rounded(length), prot, isShared, page) ?? -EINVAL
      return typeof mapping === 'number' ? mapping : this.#mapDevice(mapping)
    })
  }

  #mapDevice(mapping: DeviceMapping): number {
    const { listener, host } = this.#caller
    const { devices } = host.memory
    const opened = this.#caller.canBeHeld ? devices.open(mapping) : -EACCES
    if (typeof opened === 'number') return opened
    const fd = listener.addFd(opened.fd, O_CLOEXEC)
    close(opened.fd)
    const address = fd < 0 ? fd : (this.#map(fd, opened.offset) ?? -EACCES)
    if (address >= 0) devices.mapped(mapping)
    return address
  }

  /** Maps the caller's descriptor `fd` as it has asked, and closes it: the address, -errno, or undefined: it cannot be held. */
  #map(fd: number, offset: number): number | undefined {
    const { listener } = this.#caller
    const holder = this.#caller.hold()
    if (holder === undefined) return undefined
    const { nr } = this.#caller.arch
    const flags = OUR_MMAP * 0x100000000 + (listener.argLo(3) & ~MAP_ANONYMOUS)
    const [address, length, prot] = [listener.arg(0), listener.arg(1), listener.argLo(2)]
    const result = holder.call(nr.mmap, address, length, prot, flags, fd, offset)
    holder.call(nr.close, fd)
    return result
  }

  /** munmap and mremap. */
  unmap(): undefined {
    const { listener } = this.#caller
    this.#remapped(listener.arg(0), listener.arg(1))
    listener.goOn()
  }

  /** Gives the caller a file of so many bytes, when it can be held to map it: the descriptor, or -1. */
  #giveMemory(bytes: number): number {
    if (!this.#caller.canBeHeld) return -1
    const file = this.#caller.host.memory.makeAnonymous(bytes)
    return typeof file === 'number' ? -1 : this.#caller.listener.addFd(file.fd, O_CLOEXEC)
  }

  #remapped(address: number, length: number): void {
    const { host, listener } = this.#caller
    const mm = host.processOf(listener.tid)?.mm
    if (mm !== undefined) this.#observer?.remapped?.(mm, address, length)
  }
}

/** Bytes of whole pages. */
function rounded(length: number): number {
  return Math.ceil(length / PAGE_SIZE) * PAGE_SIZE
}
