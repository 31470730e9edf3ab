// SPDX-License-Identifier: Apache-2.0
// memfd: pages of a file, mapped by processes and pinned without one.

import {
  EBADF,
  EFAULT,
  EINVAL,
  ENOTTY,
  MAP_FIXED,
  MAP_PRIVATE,
  MAP_SHARED,
  MFD_CLOEXEC,
  MFD_EXEC,
  MFD_HUGETLB,
  MFD_NOEXEC_SEAL,
  O_RDONLY,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import {
  BASE,
  boot,
  load,
  mapped,
  PAGE,
  peek,
  pinOne,
  poke,
  RW,
  store,
  unpin,
} from '../test/fixtures.js'
import { File } from './host.js'
import type { Machine } from './machine.js'
import type { Process } from './process.js'

function withMemfd(bytes: number | bigint): { machine: Machine; process: Process; fd: number } {
  const { machine, process } = boot()
  const fd = process.memfdCreate('test', 0)
  expect(process.ftruncate(fd, bytes)).toBe(0)
  return { machine, process, fd }
}

function mapFile(process: Process, fd: number, pages: number, type: number = MAP_SHARED): void {
  expect(process.mmap(BASE, pages * PAGE, RW, type | MAP_FIXED, fd)).toBe(BASE)
}

function pinFile(
  machine: Machine,
  file: File | undefined,
  offset: number,
  pages: number,
): number[] | number {
  const frames = new Uint32Array(pages)
  const n = machine.pinFile(
    file as File,
    Math.floor(offset / 2 ** 32),
    offset | 0,
    pages,
    frames,
    0,
  )
  return n < 0 ? n : [...frames.subarray(0, n)]
}

describe('memfd_create and ftruncate', () => {
  test.each([
    ['unknown flags', 0x100],
    ['huge pages', MFD_HUGETLB],
    ['executable and not', MFD_EXEC | MFD_NOEXEC_SEAL],
  ])('%s: -EINVAL', (_, flags) => {
    expect(boot().process.memfdCreate('x', flags)).toBe(-EINVAL)
  })

  test('a name of 249 characters is the longest', () => {
    const { process } = boot()
    expect(process.memfdCreate('x'.repeat(250), MFD_CLOEXEC)).toBe(-EINVAL)
    expect(process.memfdCreate('x'.repeat(249), MFD_CLOEXEC)).toBe(3)
  })

  test('what ftruncate refuses', () => {
    const { process } = boot()
    const fd = process.memfdCreate('x', 0)
    const readOnly = process.open(`/proc/self/fd/${fd}`, O_RDONLY)
    const devNull = process.open('/dev/null')
    expect(process.ftruncate(fd, -1)).toBe(-EINVAL)
    expect(process.ftruncate(77, -1)).toBe(-EINVAL)
    expect(process.ftruncate(fd, 2n ** 63n)).toBe(-EINVAL)
    expect(process.ftruncate(77, 0)).toBe(-EBADF)
    expect(process.ftruncate(readOnly, 0)).toBe(-EINVAL)
    expect(process.ftruncate(devNull, 0)).toBe(-EINVAL)
    expect(process.ftruncate(fd, 2n ** 63n - 1n)).toBe(0)
  })

  test('no ioctl, no read, no write', () => {
    const { process, fd } = withMemfd(PAGE)
    expect(process.ioctl(fd, 0x3b80, 0)).toBe(-ENOTTY)
    expect(process.read(fd, BASE, 1)).toBe(-EINVAL)
    expect(process.write(fd, BASE, 1)).toBe(-EINVAL)
  })
})

describe('mappings of a file', () => {
  test('two shared mappings and another process see one memory', () => {
    const { process, fd } = withMemfd(2 * PAGE)
    mapFile(process, fd, 2)
    process.mmap(BASE + 2 * PAGE, PAGE, RW, MAP_SHARED | MAP_FIXED, fd, PAGE)
    const child = process.fork()
    store(child, BASE + PAGE, 7)
    expect(load(process, BASE + 2 * PAGE, 1)).toEqual([7])
  })

  test('a private mapping shows the file until it is written, and never changes it', () => {
    const { process, fd } = withMemfd(PAGE)
    mapFile(process, fd, 1)
    const own = BASE + PAGE
    process.mmap(own, PAGE, RW, MAP_PRIVATE | MAP_FIXED, fd)
    store(process, BASE, 1, 1)
    expect(load(process, own, 2)).toEqual([1, 1])
    store(process, BASE, 2)
    expect(load(process, own, 2)).toEqual([2, 1])
    store(process, own, 9)
    store(process, BASE, 3, 3)
    expect(load(process, own, 2)).toEqual([9, 1])
    expect(load(process, BASE, 2)).toEqual([3, 3])
  })

  test('pinning a private mapping takes a copy, a shared one the page of the file', () => {
    const { machine, process, fd } = withMemfd(PAGE)
    const [page] = pinFile(machine, process.file(fd), 0, 1) as number[]
    mapFile(process, fd, 1, MAP_PRIVATE)
    expect(pinOne(process, BASE, false)).not.toBe(page)
    mapFile(process, fd, 1)
    expect(pinOne(process, BASE, false)).toBe(page)
    expect(pinOne(process, BASE, true)).toBe(page)
  })

  test.each([MAP_SHARED, MAP_PRIVATE])('beyond the end: -EFAULT (type %i)', (type) => {
    const { process, fd } = withMemfd(PAGE + 1)
    mapFile(process, fd, 3, type)
    expect(store(process, BASE + 2 * PAGE - 1, 5)).toBe(0)
    expect(load(process, BASE + 2 * PAGE, 1)).toBe(-EFAULT)
    expect(store(process, BASE + 2 * PAGE, 1)).toBe(-EFAULT)
    expect(process.mm.pin(1, BASE + 2 * PAGE, 1, false, new Uint32Array(1), 0)).toBe(-EFAULT)
    process.ftruncate(fd, 3 * PAGE)
    expect(store(process, BASE + 2 * PAGE, 1)).toBe(0)
  })

  test.each([MAP_SHARED, MAP_PRIVATE])(
    'shrinking takes pages out of every mapping, copies included (type %i)',
    (type) => {
      const { machine, process, fd } = withMemfd(3 * PAGE)
      mapFile(process, fd, 3, type)
      process.store(BASE, new Uint8Array(3 * PAGE).fill(1))
      const child = process.fork()
      const kept = pinOne(process, BASE + PAGE, true)
      process.ftruncate(fd, PAGE)
      for (const one of [process, child]) {
        expect(load(one, BASE, 1)).toEqual([1])
        expect(load(one, BASE + PAGE, 1)).toBe(-EFAULT)
      }
      expect(peek(machine, kept, 1)).toEqual([1])
      process.ftruncate(fd, 3 * PAGE)
      expect(load(process, BASE + PAGE, 1)).toEqual([0])
      poke(machine, kept, 8)
      expect(load(process, BASE + PAGE, 1)).toEqual([0])
    },
  )

  test('the rest of the last page reads zero after shrinking and growing', () => {
    const { process, fd } = withMemfd(PAGE)
    mapFile(process, fd, 1)
    process.store(BASE, new Uint8Array(PAGE).fill(1))
    process.ftruncate(fd, 10)
    process.ftruncate(fd, PAGE)
    expect(load(process, BASE + 8, 4)).toEqual([1, 1, 0, 0])
  })

  test('the pages go with the last descriptor and mapping', () => {
    const { machine, process, fd } = withMemfd(600 * PAGE)
    mapFile(process, fd, 600)
    store(process, BASE + 599 * PAGE, 1)
    const again = process.open(`/proc/self/fd/${fd}`)
    process.close(fd)
    process.munmap(BASE, 300 * PAGE)
    process.munmap(BASE + 300 * PAGE, 300 * PAGE)
    expect(machine.framesInUse).toBe(1)
    process.close(again)
    expect(machine.framesInUse).toBe(0)
  })
})

describe('pinFile', () => {
  test('pins pages that nobody has touched or mapped, and the file shows what is written', () => {
    const { machine, process, fd } = withMemfd(4 * PAGE)
    const frames = pinFile(machine, process.file(fd), PAGE, 3) as number[]
    expect(frames.length).toBe(3)
    poke(machine, frames[2] as number, 6)
    mapFile(process, fd, 4)
    expect(load(process, BASE + 3 * PAGE, 1)).toEqual([6])
    process.exit()
    expect(peek(machine, frames[2] as number, 1)).toEqual([6])
    unpin(machine, ...frames)
    expect(machine.framesInUse).toBe(0)
  })

  test('the range as asked must end within the file', () => {
    const { machine, process, fd } = withMemfd(2 * PAGE + 100)
    const file = process.file(fd)
    expect(pinFile(machine, file, 0, 3)).toBe(-EINVAL)
    expect(pinFile(machine, file, 100, 2)).toHaveLength(2)
    expect(pinFile(machine, file, 101, 2)).toBe(-EINVAL)
    expect(pinFile(machine, file, 2 ** 40, 1)).toBe(-EINVAL)
    expect(machine.pinFile(file as File, -1, -4096, 1, new Uint32Array(1), 0)).toBe(-EINVAL)
  })

  test('only memfd files', () => {
    const { machine, process } = boot()
    expect(pinFile(machine, process.file(process.open('/dev/null')), 0, 1)).toBe(-EINVAL)
    expect(pinFile(machine, new File('other', {}), 0, 1)).toBe(-EINVAL)
    mapped(process, 1)
    expect(machine.framesInUse).toBe(0)
  })
})
