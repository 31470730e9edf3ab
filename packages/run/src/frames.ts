// SPDX-License-Identifier: Apache-2.0
//
// Frame numbers for pages of live processes.
//
// Invariant: a frame number belongs to one page of one store for as long as the store has it; pages that follow each
// other in a store have numbers that follow each other, so a run of them can be copied at once. Frame 0 is nobody's.

import { PAGE_SIZE } from './limits.js'

/** Pages of one origin: a file that is held, memory that is pinned, or a range that can only be looked at. */
export interface Store {
  /** How its pages are kept, for people. */
  readonly kind: string
  /** Copies `length` bytes at byte `offset` of the store, which may cross pages. What cannot be read is zeros. */
  read(offset: number, dst: Uint8Array, at: number, length: number): void
  write(offset: number, src: Uint8Array, at: number, length: number): void
  /** The last pin on its pages is gone. */
  idle(): void
}

/** Frame numbers are given out in runs of this many. */
const SLOT_PAGES = 512
const LAST_SLOT = 2 ** 31 / SLOT_PAGES - 1

/** Frame numbers of pages [firstPage, firstPage + count) of a store. */
export interface Segment {
  readonly base: number
  readonly count: number
  readonly store: Store
  readonly firstPage: number
  readonly pins: Int32Array
  /** Pins on all of its pages. */
  pinned: number
}

export class Frames {
  readonly #slots: (Segment | undefined)[] = []
  readonly #free = new Map<number, number[]>()
  #nextSlot = 1
  /** Pages with at least one pin. */
  pinned = 0

  /** Gives numbers to `count` pages; undefined when there are none left. */
  allocate(store: Store, firstPage: number, count: number): Segment | undefined {
    const slots = Math.ceil(count / SLOT_PAGES)
    const reused = this.#free.get(slots)?.pop()
    const slot = reused ?? this.#nextSlot
    if (slot + slots > LAST_SLOT) return undefined
    if (reused === undefined) this.#nextSlot += slots
    const base = slot * SLOT_PAGES
    const pins = new Int32Array(count)
    const segment: Segment = { base, count, store, firstPage, pins, pinned: 0 }
    for (let i = slot; i < slot + slots; i++) this.#slots[i] = segment
    return segment
  }

  /** Takes the numbers back; nothing may be pinned. */
  release(segment: Segment): void {
    const slot = segment.base / SLOT_PAGES
    const slots = Math.ceil(segment.count / SLOT_PAGES)
    for (let i = slot; i < slot + slots; i++) this.#slots[i] = undefined
    const free = this.#free.get(slots)
    if (free === undefined) this.#free.set(slots, [slot])
    else free.push(slot)
  }

  /** The segment of a frame, undefined when the number is nobody's. */
  find(frame: number): Segment | undefined {
    const segment = this.#slots[Math.floor(frame / SLOT_PAGES)]
    return segment !== undefined && frame < segment.base + segment.count ? segment : undefined
  }

  pin(segment: Segment, index: number): number {
    const { pins } = segment
    if (pins[index] === 0) this.pinned++
    pins[index] = (pins[index] as number) + 1
    segment.pinned++
    return segment.base + index
  }

  unpin(frame: number): void {
    const segment = this.find(frame)
    const index = segment === undefined ? 0 : frame - segment.base
    if (segment === undefined || segment.pins[index] === 0) {
      throw new Error(`unpin of frame ${frame}, which is not pinned`)
    }
    const left = (segment.pins[index] as number) - 1
    segment.pins[index] = left
    segment.pinned--
    if (left === 0) this.pinned--
    if (segment.pinned === 0) segment.store.idle()
  }

  pins(frame: number): number {
    const segment = this.find(frame)
    return segment === undefined ? 0 : (segment.pins[frame - segment.base] as number)
  }

  /** Copies out of a frame and those numbered next. */
  read(frame: number, offset: number, dst: Uint8Array, at: number, length: number): void {
    this.#copy(frame, offset, length, (store, from, done, part) =>
      store.read(from, dst, at + done, part),
    )
  }

  write(frame: number, offset: number, src: Uint8Array, at: number, length: number): void {
    this.#copy(frame, offset, length, (store, from, done, part) =>
      store.write(from, src, at + done, part),
    )
  }

  #copy(
    frame: number,
    offset: number,
    length: number,
    copy: (store: Store, from: number, done: number, part: number) => void,
  ): void {
    let next = frame + Math.floor(offset / PAGE_SIZE)
    let inPage = offset % PAGE_SIZE
    for (let done = 0; done < length; ) {
      const segment = this.find(next)
      if (segment === undefined) throw new Error(`copy of frame ${next}, which is nobody's`)
      const room = (segment.base + segment.count - next) * PAGE_SIZE - inPage
      const part = Math.min(room, length - done)
      const page = segment.firstPage + next - segment.base
      copy(segment.store, page * PAGE_SIZE + inPage, done, part)
      done += part
      next += Math.floor((inPage + part) / PAGE_SIZE)
      inPage = 0
    }
  }
}
