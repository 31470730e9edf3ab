// SPDX-License-Identifier: Apache-2.0
//
// The physical memory of the simulated machine: page frames in one buffer that grows. The buffer is a WebAssembly.Memory,
// because that grows in place: address space is set aside for all of it, untouched pages cost nothing, nothing is copied.
//
// A frame has a count of references (page tables that map it, the file it belongs to, pins) and a count of pins, which
// are among the references. It is free when it has no reference. Frame 0 is the shared zero page and never free: it
// stands for every private page that was read before it was written.
//
// Frames are handed out in ascending order, round and round through those that have been in use, so that neighbouring
// pages tend to be neighbours in memory. A frame that never was in use is zero without being touched, and costs nothing.
// `bytes` is replaced when the buffer grows: nobody may keep it over a call that can allocate.

import { ENOMEM, PAGE_SIZE } from '@iommufd/uapi'
import { copyBytes, LONG } from './copy-bytes.js'
import { STAGE_BYTES, Stage } from './stage.js'

/** The shared zero page. */
export const ZERO_FRAME = 0

const FIRST_CAPACITY = 256
/** Frames in one unit of WebAssembly.Memory, 64 KiB. */
const UNIT_FRAMES = 16
const STAGE_UNITS = STAGE_BYTES / (UNIT_FRAMES * PAGE_SIZE)
/** 4 GiB, the most that a WebAssembly.Memory can be. */
const MAX_UNITS = 65536
/** What the stage leaves of it. */
const MAX_FRAMES = (MAX_UNITS - STAGE_UNITS) * UNIT_FRAMES

/** What is used of it: the library of the language knows neither this nor any other object of the surroundings. */
interface GrowableMemory {
  readonly buffer: ArrayBuffer
  grow(units: number): number
}
declare const WebAssembly: {
  readonly Memory: new (limits: { initial: number; maximum: number }) => GrowableMemory
}

export class Frames {
  /** The memory: frame n at n * 4096. Replaced when it grows. */
  bytes: Uint8Array
  /** The same memory as words. Replaced with it. */
  words: Int32Array
  readonly #stage: Stage
  readonly #memory: GrowableMemory
  #references: Uint32Array
  #pins: Uint32Array
  /** One bit per frame below `#high`: it is free. */
  #free: Uint32Array
  #freeCount = 0
  /** The search for a free frame goes on here. */
  #cursor = 1
  /** Frames from here on have never been in use. */
  #high = 1
  #pinned = 0
  readonly #limit: number

  /** @param wanted frames that the machine may have, the zero frame included; at most MAX_FRAMES count */
  constructor(wanted: number) {
    const limit = Math.min(wanted, MAX_FRAMES)
    const capacity = Math.min(FIRST_CAPACITY, limit)
    const initial = STAGE_UNITS + units(capacity)
    const maximum = STAGE_UNITS + units(limit)
    this.#memory = new WebAssembly.Memory({ initial, maximum })
    this.#stage = new Stage(this.#memory.buffer)
    this.bytes = new Uint8Array(this.#memory.buffer, STAGE_BYTES)
    this.words = new Int32Array(this.#memory.buffer, STAGE_BYTES)
    this.#references = new Uint32Array(capacity)
    this.#pins = new Uint32Array(capacity)
    this.#free = new Uint32Array((capacity + 31) >>> 5)
    this.#limit = limit
    this.#references[ZERO_FRAME] = 1
  }

  /** Frames with a reference, the zero frame not counted. */
  get inUse(): number {
    return this.#high - 1 - this.#freeCount
  }

  /** Frames with a pin. */
  get pinned(): number {
    return this.#pinned
  }

  /**
   * A frame with one reference, the caller's.
   * @param zeroed false when the caller overwrites all of it
   * @returns the frame, or -ENOMEM
   */
  allocate(zeroed: boolean): number {
    const frame = this.#freeCount > 0 ? this.#recycled() : -1
    if (frame < 0) return this.#fresh()
    this.#references[frame] = 1
    if (zeroed) this.bytes.fill(0, frame * PAGE_SIZE, (frame + 1) * PAGE_SIZE)
    return frame
  }

  /**
   * `npages` frames that follow each other, zero and with one reference each, the caller's. Looks at all frames that have
   * been in use: for memory of the machine, not for that of processes.
   * @returns the first frame, or -ENOMEM and none is allocated
   */
  allocateRun(npages: number): number {
    const first = this.#freeRun(npages)
    if (first < 0) return this.#freshRun(npages)
    for (let frame = first; frame < first + npages; frame++) {
      this.#take(frame)
      this.#references[frame] = 1
    }
    this.bytes.fill(0, first * PAGE_SIZE, (first + npages) * PAGE_SIZE)
    return first
  }

  /** A new frame with the contents of another, and one reference. @returns the frame, or -ENOMEM */
  duplicate(frame: number): number {
    if (frame === ZERO_FRAME) return this.allocate(true)
    const copy = this.allocate(false)
    if (copy < 0) return copy
    this.bytes.copyWithin(copy * PAGE_SIZE, frame * PAGE_SIZE, (frame + 1) * PAGE_SIZE)
    return copy
  }

  get(frame: number): void {
    this.#references[frame] = (this.#references[frame] as number) + 1
  }

  put(frame: number): void {
    const left = (this.#references[frame] as number) - 1
    this.#references[frame] = left
    if (left === 0) this.#release(frame)
  }

  pin(frame: number): void {
    this.get(frame)
    const pins = this.#pins[frame] as number
    if (pins === 0) this.#pinned++
    this.#pins[frame] = pins + 1
  }

  /** @throws when the frame is not pinned */
  unpin(frame: number): void {
    const pins = this.pins(frame)
    if (pins === 0) throw new Error(`unpin of frame ${frame}, which is not pinned`)
    if (pins === 1) this.#pinned--
    this.#pins[frame] = pins - 1
    this.put(frame)
  }

  pins(frame: number): number {
    return this.#pins[frame] ?? 0
  }

  /** References that are not pins: page tables and files. A private page with one is its mapping's own. */
  mappings(frame: number): number {
    return (this.#references[frame] as number) - (this.#pins[frame] as number)
  }

  /** @throws when nothing holds the frame, or the bytes leave it */
  read(frame: number, offset: number, dst: Uint8Array, at: number, length: number): void {
    this.#check(frame, offset, length)
    this.copyOut(frame * PAGE_SIZE + offset, dst, at, length)
  }

  /** @throws when nothing holds the frame, or the bytes leave it */
  write(frame: number, offset: number, src: Uint8Array, at: number, length: number): void {
    this.#check(frame, offset, length)
    this.copyIn(src, at, frame * PAGE_SIZE + offset, length)
  }

  /** Copies `length` bytes from byte `from` of the memory to `dst[at…]`. */
  copyOut(from: number, dst: Uint8Array, at: number, length: number): void {
    if (length < LONG) copyBytes(this.bytes, from, dst, at, length)
    else this.#stage.copyOut(from, dst, at, length)
  }

  /** Copies `length` bytes of `src[at…]` to byte `to` of the memory. */
  copyIn(src: Uint8Array, at: number, to: number, length: number): void {
    if (length < LONG) copyBytes(src, at, this.bytes, to, length)
    else this.#stage.copyIn(src, at, to, length)
  }

  #check(frame: number, offset: number, length: number): void {
    if (!(offset >= 0 && offset < PAGE_SIZE && length >= 0))
      throw new RangeError(`${length} bytes at ${offset} do not begin in the frame`)
    const end = frame + Math.ceil((offset + length) / PAGE_SIZE)
    for (let held = frame; held < end; held++) {
      if (!((this.#references[held] ?? 0) > 0)) throw new Error(`frame ${held} is not in use`)
    }
  }

  #release(frame: number): void {
    const word = frame >>> 5
    this.#free[word] = (this.#free[word] as number) | (1 << (frame & 31))
    this.#freeCount++
  }

  /**
   * A frame that has been in use. A new round begins only when an eighth of all frames are free, so that looking at the
   * bits costs a fraction of a step per frame found, whatever the order of freeing.
   */
  #recycled(): number {
    let frame = this.#nextFree(this.#cursor)
    if (frame < 0) {
      if (this.#freeCount < this.#high >>> 3 && this.#high < this.#limit) return -1
      frame = this.#nextFree(0)
    }
    this.#take(frame)
    this.#cursor = frame + 1
    return frame
  }

  /** The frame is free no more. */
  #take(frame: number): void {
    const word = frame >>> 5
    this.#free[word] = (this.#free[word] as number) & ~(1 << (frame & 31))
    this.#freeCount--
  }

  /** The first of `npages` free frames in a row that have been in use, or -1. */
  #freeRun(npages: number): number {
    let first = this.#nextFree(0)
    while (first >= 0) {
      let end = first + 1
      while (end < first + npages && this.#isFree(end)) end++
      if (end === first + npages) return first
      first = this.#nextFree(end)
    }
    return -1
  }

  #isFree(frame: number): boolean {
    return ((this.#free[frame >>> 5] as number) & (1 << (frame & 31))) !== 0
  }

  #freshRun(npages: number): number {
    const first = this.#high
    for (let taken = 0; taken < npages; taken++) {
      if (this.#fresh() >= 0) continue
      for (let frame = first; frame < first + taken; frame++) this.put(frame)
      return -ENOMEM
    }
    return first
  }

  #nextFree(from: number): number {
    let word = from >>> 5
    let bits = (this.#free[word] as number) & (-1 << (from & 31))
    const end = (this.#high + 31) >>> 5
    while (bits === 0) {
      if (++word >= end) return -1
      bits = this.#free[word] as number
    }
    return (word << 5) + 31 - Math.clz32(bits & -bits)
  }

  #fresh(): number {
    const frame = this.#high
    if (frame === this.#references.length && !this.#grow()) return -ENOMEM
    this.#high = frame + 1
    this.#cursor = frame + 1
    this.#references[frame] = 1
    return frame
  }

  /** False when the machine has all the memory it may have, or the JavaScript engine has no more to give. */
  #grow(): boolean {
    const capacity = Math.min(this.#references.length * 2, this.#limit)
    if (capacity === this.#references.length) return false
    try {
      this.#memory.grow(units(capacity) - units(this.#references.length))
    } catch {
      return false
    }
    this.#stage.use(this.#memory.buffer)
    this.bytes = new Uint8Array(this.#memory.buffer, STAGE_BYTES)
    this.words = new Int32Array(this.#memory.buffer, STAGE_BYTES)
    this.#references = enlarged(this.#references, capacity)
    this.#pins = enlarged(this.#pins, capacity)
    this.#free = enlarged(this.#free, (capacity + 31) >>> 5)
    return true
  }
}

function units(frames: number): number {
  return Math.ceil(frames / UNIT_FRAMES)
}

function enlarged(array: Uint32Array, length: number): Uint32Array {
  const larger = new Uint32Array(length)
  larger.set(array)
  return larger
}
