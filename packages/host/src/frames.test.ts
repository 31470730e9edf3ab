// SPDX-License-Identifier: Apache-2.0
import { ENOMEM } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { Frames } from './frames.js'

function allocateMany(frames: Frames, n: number): number[] {
  return Array.from({ length: n }, () => frames.allocate(true))
}

describe('allocation', () => {
  test('fresh frames ascend from 1', () => {
    expect(allocateMany(new Frames(100), 5)).toEqual([1, 2, 3, 4, 5])
  })

  test('frames that were in use come back ascending, and zero', () => {
    const frames = new Frames(100)
    const all = allocateMany(frames, 40)
    for (const frame of all) frames.write(frame, 4000, Uint8Array.of(1, 2, 3), 0, 3)
    for (const frame of [...all].reverse()) frames.put(frame)
    expect(frames.inUse).toBe(0)
    const again = allocateMany(frames, 40)
    expect(again).toEqual(all)
    const bytes = new Uint8Array(4096)
    for (const frame of again) {
      frames.read(frame, 0, bytes, 0, 4096)
      expect(bytes.every((byte) => byte === 0)).toBe(true)
    }
  })

  test('a few free frames wait until a round is worth it, and are found when nothing else is left', () => {
    const frames = new Frames(64)
    allocateMany(frames, 40)
    frames.put(7)
    expect(frames.allocate(true)).toBe(41)
    expect(allocateMany(frames, 22).at(-1)).toBe(63)
    expect(frames.allocate(true)).toBe(7)
    expect(frames.allocate(true)).toBe(-ENOMEM)
    frames.put(33)
    expect(frames.duplicate(1)).toBe(33)
    expect(frames.duplicate(1)).toBe(-ENOMEM)
  })

  test('contents survive growth', () => {
    const frames = new Frames(4096)
    const all = allocateMany(frames, 3000)
    for (const frame of all) frames.write(frame, 8, Uint8Array.of(frame & 255, frame >> 8), 0, 2)
    const bytes = new Uint8Array(2)
    for (const frame of all) {
      frames.read(frame, 8, bytes, 0, 2)
      expect([...bytes]).toEqual([frame & 255, frame >> 8])
    }
    expect(frames.inUse).toBe(3000)
  })

  test('random allocation and freeing never hands out a frame twice', () => {
    const frames = new Frames(600)
    const held = new Set<number>()
    let x = 12345
    for (let i = 0; i < 20_000; i++) {
      x = (Math.imul(x, 1103515245) + 12345) >>> 0
      if (x % 5 < 3 && held.size < 599) {
        const frame = frames.allocate(false)
        expect(frame).toBeGreaterThan(0)
        expect(held.has(frame)).toBe(false)
        held.add(frame)
      } else if (held.size > 0) {
        const frame = [...held][(x >>> 8) % held.size] as number
        held.delete(frame)
        frames.put(frame)
      }
      expect(frames.inUse).toBe(held.size)
    }
  })
})

describe('pins', () => {
  test('a pin holds the frame after its last mapping, and counts', () => {
    const frames = new Frames(10)
    const frame = frames.allocate(true)
    frames.pin(frame)
    frames.pin(frame)
    expect([frames.pins(frame), frames.mappings(frame), frames.pinned]).toEqual([2, 1, 1])
    frames.put(frame)
    expect([frames.inUse, frames.mappings(frame)]).toEqual([1, 0])
    frames.unpin(frame)
    expect([frames.inUse, frames.pinned]).toEqual([1, 1])
    frames.unpin(frame)
    expect([frames.inUse, frames.pinned]).toEqual([0, 0])
  })

  test('unpinning what is not pinned, and touching what is free, is an error that says so', () => {
    const frames = new Frames(10)
    const frame = frames.allocate(true)
    expect(() => frames.unpin(frame)).toThrow('unpin of frame 1, which is not pinned')
    frames.put(frame)
    expect(() => frames.read(frame, 0, new Uint8Array(8), 0, 8)).toThrow('frame 1 is not in use')
    expect(() => frames.write(99, 0, new Uint8Array(8), 0, 8)).toThrow('frame 99 is not in use')
    expect(() => frames.read(0, 4090, new Uint8Array(8), 0, 8)).toThrow('frame 1 is not in use')
    expect(() => frames.read(0, 4096, new Uint8Array(8), 0, 8)).toThrow(RangeError)
  })

  test('a copy runs on into the frames that follow', () => {
    const frames = new Frames(10)
    const first = frames.allocate(true)
    frames.allocate(true)
    const bytes = Uint8Array.from({ length: 5000 }, (_, i) => i % 251)
    frames.write(first, 100, bytes, 0, 5000)
    const back = new Uint8Array(5000)
    frames.read(first, 100, back, 0, 5000)
    expect(back).toEqual(bytes)
  })
})
