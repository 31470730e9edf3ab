// SPDX-License-Identifier: Apache-2.0
//
// The filter, by a model of the machine that runs it.

import { describe, expect, test } from 'vitest'
import { type Arch, archOf } from './arch.js'
import { makeFilter } from './filter.js'

const arch = archOf('x64') as Arch
const { nr } = arch
const code = makeFilter(arch, { trappedFds: 512, trackMappings: false })

const ALLOW = 0x7fff0000
const NOTIFY = 0x7fc00000

/** Runs a filter over a call. */
function decide(filter: Uint8Array, number: number, args: readonly number[], audit = arch.audit) {
  const view = new DataView(filter.buffer)
  const data = new DataView(new ArrayBuffer(64))
  data.setUint32(0, number, true)
  data.setUint32(4, audit, true)
  for (const [i, arg] of args.entries()) data.setUint32(16 + 8 * i, arg, true)
  let accumulator = 0
  for (let pc = 0; ; pc++) {
    const op = view.getUint16(pc * 8, true)
    const k = view.getUint32(pc * 8 + 4, true)
    if (op === 0x06) return k
    if (op === 0x20) accumulator = data.getUint32(k, true)
    else if (op === 0x54) accumulator = (accumulator & k) >>> 0
    else if (op === 0x15) pc += view.getUint8(pc * 8 + (accumulator === k ? 2 : 3))
    else throw new Error(`instruction 0x${op.toString(16)}`)
  }
}

describe('the filter', () => {
  test('F2: asks for ioctls of type ; alone', () => {
    expect(decide(code, nr.ioctl, [3, 0x3b85, 0])).toBe(NOTIFY)
    expect(decide(code, nr.ioctl, [3, 0x3bff, 0])).toBe(NOTIFY)
    expect(decide(code, nr.ioctl, [3, 0x5401, 0])).toBe(ALLOW)
  })

  test('F1: asks for what opens and looks at paths', () => {
    for (const number of [nr.open, nr.openat, nr.openat2, nr.newfstatat, nr.statx, nr.faccessat]) {
      expect(decide(code, number, [])).toBe(NOTIFY)
    }
    expect(decide(code, nr.close, [3])).toBe(ALLOW)
    expect(decide(code, 0xffff, [])).toBe(ALLOW)
  })

  test('asks for shared memory alone, not of huge pages', () => {
    const mmap = (flags: number) => decide(code, nr.mmap, [0, 4096, 3, flags])
    expect(mmap(0x21)).toBe(NOTIFY)
    expect(mmap(0x31)).toBe(NOTIFY)
    expect(mmap(0x22)).toBe(ALLOW)
    expect(mmap(0x01)).toBe(NOTIFY)
    expect(mmap(0x13)).toBe(NOTIFY)
    expect(mmap(0x02)).toBe(ALLOW)
    expect(mmap(0x12)).toBe(ALLOW)
    expect(mmap(0x40021)).toBe(ALLOW)
  })

  test('follows all mappings when asked', () => {
    const tracking = makeFilter(arch, { trappedFds: 512, trackMappings: true })
    expect(decide(tracking, nr.munmap, [])).toBe(NOTIFY)
    expect(decide(tracking, nr.mmap, [0, 4096, 3, 0x22])).toBe(NOTIFY)
    expect(decide(code, nr.munmap, [])).toBe(ALLOW)
  })

  test('asks for reads and writes of queues alone', () => {
    for (const number of [nr.read, nr.write, nr.pread64, nr.pwrite64]) {
      expect(decide(code, number, [512])).toBe(NOTIFY)
      expect(decide(code, number, [1023])).toBe(NOTIFY)
      expect(decide(code, number, [511])).toBe(ALLOW)
      expect(decide(code, number, [1024])).toBe(ALLOW)
    }
  })

  test('leaves programs of another architecture alone', () => {
    expect(decide(code, nr.ioctl, [3, 0x3b85, 0], 0x40000003)).toBe(ALLOW)
    expect(decide(code, nr.ioctl | 0x40000000, [3, 0x3b85, 0])).toBe(ALLOW)
  })
})
