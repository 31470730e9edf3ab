// SPDX-License-Identifier: Apache-2.0
//
// Frame numbers: one for each page, neighbours for neighbours, free again after the last pin.

import { describe, expect, test } from 'vitest'
import { Frames, type Store } from './frames.js'

class Bytes implements Store {
  readonly kind = 'bytes'
  readonly bytes: Uint8Array
  idles = 0

  constructor(pages: number) {
    this.bytes = new Uint8Array(pages * 4096)
  }

  read(offset: number, dst: Uint8Array, at: number, length: number): void {
    dst.set(this.bytes.subarray(offset, offset + length), at)
  }

  write(offset: number, src: Uint8Array, at: number, length: number): void {
    this.bytes.set(src.subarray(at, at + length), offset)
  }

  idle(): void {
    this.idles++
  }
}

function allocate(frames: Frames, store: Store, first: number, count: number) {
  const segment = frames.allocate(store, first, count)
  if (segment === undefined) throw new Error('no numbers left')
  return segment
}

describe('frames of live memory', () => {
  test('E4: pages that follow each other have numbers that do, none is 0', () => {
    const frames = new Frames()
    const segment = allocate(frames, new Bytes(1000), 0, 1000)
    const other = allocate(frames, new Bytes(1), 0, 1)
    expect(segment.base).toBeGreaterThan(0)
    expect(other.base).toBeGreaterThanOrEqual(segment.base + 1000)
    expect(frames.find(segment.base + 999)).toBe(segment)
    expect(frames.find(segment.base + 1000)).toBeUndefined()
    expect(frames.find(0)).toBeUndefined()
  })

  test('E4: counts pins by page, and says when the last is gone', () => {
    const frames = new Frames()
    const store = new Bytes(2)
    const segment = allocate(frames, store, 0, 2)
    const frame = frames.pin(segment, 1)
    frames.pin(segment, 1)
    expect([frames.pins(frame), frames.pins(frame - 1), frames.pinned]).toEqual([2, 0, 1])
    frames.unpin(frame)
    expect(store.idles).toBe(0)
    frames.unpin(frame)
    expect([store.idles, frames.pinned]).toEqual([1, 0])
    expect(() => frames.unpin(frame)).toThrow('not pinned')
  })

  test('numbers that were given back are given again', () => {
    const frames = new Frames()
    const segment = allocate(frames, new Bytes(3), 0, 3)
    frames.release(segment)
    expect(frames.find(segment.base)).toBeUndefined()
    expect(allocate(frames, new Bytes(2), 0, 2).base).toBe(segment.base)
  })

  test('copies run over the pages of a store and into the next segment', () => {
    const frames = new Frames()
    const store = new Bytes(514)
    const first = allocate(frames, store, 0, 512)
    const second = allocate(frames, store, 512, 2)
    expect(second.base).toBe(first.base + 512)
    const data = Uint8Array.from({ length: 5000 }, (_, i) => i & 255)
    frames.write(first.base + 511, 4000, data, 0, 5000)
    const back = new Uint8Array(5002)
    frames.read(first.base + 511, 4000, back, 1, 5000)
    expect(back.subarray(1, 5001)).toEqual(data)
    expect(store.bytes[511 * 4096 + 4000]).toBe(0)
    expect(store.bytes[512 * 4096]).toBe(96)
  })
})
