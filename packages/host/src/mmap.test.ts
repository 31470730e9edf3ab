// SPDX-License-Identifier: Apache-2.0
import {
  EACCES,
  EBADF,
  EEXIST,
  EFAULT,
  EINVAL,
  ENODEV,
  ENOMEM,
  EOPNOTSUPP,
  EOVERFLOW,
  EPERM,
  MAP_ANONYMOUS,
  MAP_FIXED,
  MAP_FIXED_NOREPLACE,
  MAP_HUGETLB,
  MAP_LOCKED,
  MAP_POPULATE,
  MAP_PRIVATE,
  MAP_SHARED,
  MAP_SHARED_VALIDATE,
  O_RDONLY,
  O_WRONLY,
  PROT_NONE,
  PROT_READ,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { BASE, boot, load, mapped, PAGE, PRIVATE, RW, SHARED, store } from '../test/fixtures.js'

const ANON = MAP_PRIVATE | MAP_ANONYMOUS
const TASK_END = 0x7fff_ffff_f000

describe('mmap refuses', () => {
  const { process } = boot()
  const memfd = process.memfdCreate('file', 0)
  process.ftruncate(memfd, 4 * PAGE)
  const readOnly = process.open(`/proc/self/fd/${memfd}`, O_RDONLY)
  const writeOnly = process.open(`/proc/self/fd/${memfd}`, O_WRONLY)
  const devNull = process.open('/dev/null')
  test.each<[string, number, Parameters<typeof process.mmap>]>([
    ['length 0', -EINVAL, [BASE, 0, RW, PRIVATE]],
    ['an unaligned fixed address', -EINVAL, [BASE + 1, PAGE, RW, PRIVATE]],
    ['an unaligned offset', -EINVAL, [BASE, PAGE, RW, MAP_SHARED, memfd, 1]],
    ['an unaligned offset, before a bad descriptor', -EINVAL, [0, PAGE, RW, MAP_SHARED, 77, 1]],
    ['a bad descriptor', -EBADF, [0, PAGE, RW, MAP_SHARED, 77]],
    ['no descriptor', -EBADF, [0, PAGE, RW, MAP_SHARED]],
    ['a bad descriptor, before length 0', -EBADF, [0, 0, RW, MAP_SHARED, 77]],
    ['no type', -EINVAL, [0, PAGE, RW, MAP_ANONYMOUS]],
    ['type 4', -EINVAL, [0, PAGE, RW, 4, memfd]],
    ['MAP_SHARED_VALIDATE of no file', -EINVAL, [0, PAGE, RW, MAP_SHARED_VALIDATE | MAP_ANONYMOUS]],
    ['MAP_SHARED_VALIDATE of unknown flags', -EOPNOTSUPP, [0, PAGE, RW, 0x800003, memfd]],
    ['a length that wraps to 0', -ENOMEM, [0, 2n ** 64n - 1n, RW, ANON]],
    [
      'a range at the end of all files',
      -EOVERFLOW,
      [0, PAGE, RW, MAP_SHARED, memfd, 2n ** 63n - 4096n],
    ],
    [
      'a range at the end of a device',
      -EOVERFLOW,
      [0, PAGE, RW, MAP_SHARED, devNull, 2n ** 64n - 4096n],
    ],
    ['more than the address space', -ENOMEM, [0, 2 ** 47, RW, ANON]],
    ['a fixed range beyond its end', -ENOMEM, [TASK_END, PAGE, RW, PRIVATE]],
    ['a fixed kernel address', -ENOMEM, [0xffff_8000_0000_0000n, PAGE, RW, PRIVATE]],
    ['writing a shared file opened for reading', -EACCES, [0, PAGE, RW, MAP_SHARED, readOnly]],
    ['a file opened for writing only', -EACCES, [0, PAGE, RW, MAP_PRIVATE, writeOnly]],
    ['a file that has no pages', -ENODEV, [0, PAGE, RW, MAP_SHARED, devNull]],
    ['huge pages', -EINVAL, [0, 1 << 21, RW, ANON | MAP_HUGETLB]],
    ['locked pages', -EPERM, [0, PAGE, RW, ANON | MAP_LOCKED]],
  ])('%s', (_, errno, args) => {
    expect(process.mmap(...args)).toBe(errno)
  })

  test('but not a file range just before that', () => {
    expect(process.mmap(0, PAGE, RW, MAP_SHARED, memfd, 2n ** 63n - 8192n)).toBeGreaterThan(0)
  })

  test('low addresses without CAP_SYS_RAWIO', () => {
    const { machine, process: root } = boot()
    expect(root.mmap(PAGE, PAGE, RW, PRIVATE)).toBe(PAGE)
    expect(machine.spawn({ uid: 5 }).mmap(PAGE, PAGE, RW, PRIVATE)).toBe(-EPERM)
  })

  test('MAP_FIXED_NOREPLACE over something', () => {
    const flags = ANON | MAP_FIXED_NOREPLACE
    expect(process.mmap(BASE, 2 * PAGE, RW, flags)).toBe(BASE)
    expect(process.mmap(BASE + PAGE, PAGE, RW, flags)).toBe(-EEXIST)
    expect(process.mmap(BASE + 2 * PAGE, PAGE, RW, flags)).toBe(BASE + 2 * PAGE)
  })
})

describe('mmap', () => {
  test('the last page there is', () => {
    const { process } = boot()
    expect(process.mmap(TASK_END - PAGE, PAGE, RW, PRIVATE)).toBe(TASK_END - PAGE)
    expect(store(process, TASK_END - 1, 9)).toBe(0)
    expect(store(process, TASK_END - 1, 8, 8)).toBe(-EFAULT)
    expect(load(process, TASK_END - 1, 1)).toEqual([9])
  })

  test('a length is rounded up to pages', () => {
    const { process } = boot()
    process.mmap(BASE, PAGE + 1, RW, PRIVATE)
    expect(store(process, BASE + 2 * PAGE - 1, 1)).toBe(0)
    expect(store(process, BASE + 2 * PAGE, 1)).toBe(-EFAULT)
  })

  test('without MAP_FIXED: a free hint is taken, else the highest gap, top down', () => {
    const { process } = boot()
    expect(process.mmap(BASE + 5, PAGE, RW, ANON)).toBe(BASE)
    const first = process.mmap(BASE, 2 * PAGE, RW, ANON)
    const second = process.mmap(0, 3 * PAGE, RW, ANON)
    const third = process.mmap(0, PAGE, RW, ANON)
    expect(second).toBe(first - 3 * PAGE)
    expect(third).toBe(second - PAGE)
    process.munmap(second, 3 * PAGE)
    expect(process.mmap(0, 4 * PAGE, RW, ANON)).toBe(third - 4 * PAGE)
    expect(process.mmap(0, 2 * PAGE, RW, ANON)).toBe(first - 2 * PAGE)
  })

  test('no room: -ENOMEM', () => {
    const { process } = boot()
    expect(process.mmap(0, 2 ** 46, PROT_NONE, ANON)).toBeGreaterThan(0)
    expect(process.mmap(0, 2 ** 46, PROT_NONE, ANON)).toBe(-ENOMEM)
  })

  test('MAP_FIXED replaces the middle of a mapping and splits it', () => {
    const { process } = boot()
    mapped(process, 6)
    for (let i = 0; i < 6; i++) store(process, BASE + i * PAGE, i + 1)
    expect(process.mmap(BASE + 2 * PAGE, 2 * PAGE, PROT_READ, PRIVATE)).toBe(BASE + 2 * PAGE)
    const first = Array.from(
      { length: 6 },
      (_, i) => (load(process, BASE + i * PAGE, 1) as number[])[0],
    )
    expect(first).toEqual([1, 2, 0, 0, 5, 6])
    expect(store(process, BASE + 2 * PAGE, 1)).toBe(-EFAULT)
    expect(store(process, BASE + 4 * PAGE, 1)).toBe(0)
  })

  test('MAP_POPULATE brings pages in, a mapping alone costs nothing', () => {
    const { machine, process } = boot()
    process.mmap(BASE, 2 ** 40, RW, PRIVATE)
    expect(machine.framesInUse).toBe(0)
    process.munmap(BASE, 2 ** 40)
    process.mmap(BASE, 5 * PAGE, RW, PRIVATE | MAP_POPULATE)
    expect(machine.framesInUse).toBe(5)
    process.mmap(BASE, 5 * PAGE, PROT_READ, PRIVATE | MAP_POPULATE)
    expect(machine.framesInUse).toBe(0)
  })
})

describe('munmap', () => {
  test.each<[string, number | bigint, number | bigint]>([
    ['length 0', BASE, 0],
    ['an unaligned address', BASE + 1, PAGE],
    ['a range beyond user addresses', TASK_END - PAGE, 2 * PAGE],
    ['a kernel address', 2n ** 63n, PAGE],
    ['a range that wraps', BASE, 2n ** 64n - 4096n],
  ])('refuses %s', (_, addr, length) => {
    expect(boot().process.munmap(addr, length)).toBe(-EINVAL)
  })

  test('where nothing is mapped: 0', () => {
    expect(boot().process.munmap(BASE, 100 * PAGE)).toBe(0)
  })

  test('over holes and parts of several mappings', () => {
    const { machine, process } = boot()
    process.mmap(BASE, 3 * PAGE, RW, PRIVATE)
    process.mmap(BASE + 4 * PAGE, 3 * PAGE, RW, SHARED)
    for (const i of [0, 1, 2, 4, 5, 6]) store(process, BASE + i * PAGE, i + 1)
    expect(process.munmap(BASE + PAGE, 4 * PAGE)).toBe(0)
    const readable = [0, 1, 2, 3, 4, 5, 6].filter(
      (i) => load(process, BASE + i * PAGE, 1) !== -EFAULT,
    )
    expect(readable).toEqual([0, 5, 6])
    expect(load(process, BASE + 5 * PAGE, 1)).toEqual([6])
    process.munmap(0, TASK_END)
    expect(machine.framesInUse).toBe(0)
  })
})

describe('mprotect', () => {
  test.each<[string, number, number | bigint, number | bigint, number]>([
    ['an unaligned address', -EINVAL, BASE + 1, PAGE, RW],
    ['unknown rights', -EINVAL, BASE, PAGE, 0x10],
    ['a range that wraps', -ENOMEM, BASE, 2n ** 64n - 4096n, RW],
    ['a length that wraps to 0', -ENOMEM, BASE, 2n ** 64n - 1n, RW],
    ['kernel addresses', -ENOMEM, 2n ** 63n, PAGE, RW],
    ['nothing mapped', -ENOMEM, BASE - PAGE, PAGE, RW],
  ])('refuses %s', (_, errno, addr, length, prot) => {
    const { process } = boot()
    mapped(process, 1)
    expect(process.mprotect(addr, length, prot)).toBe(errno)
  })

  test('length 0: 0, wherever', () => {
    expect(boot().process.mprotect(BASE, 0, RW)).toBe(0)
  })

  test('splits, takes rights away at once and gives them back with the contents', () => {
    const { process } = boot()
    mapped(process, 5)
    for (let i = 0; i < 5; i++) store(process, BASE + i * PAGE, i + 1)
    expect(process.mprotect(BASE + PAGE, PAGE, PROT_READ)).toBe(0)
    expect(process.mprotect(BASE + 3 * PAGE, PAGE, PROT_NONE)).toBe(0)
    expect(store(process, BASE + PAGE, 9)).toBe(-EFAULT)
    expect(load(process, BASE + PAGE, 1)).toEqual([2])
    expect(load(process, BASE + 3 * PAGE, 1)).toBe(-EFAULT)
    for (const i of [0, 2, 4]) expect(store(process, BASE + i * PAGE, 9)).toBe(0)
    expect(process.mprotect(BASE, 5 * PAGE, RW)).toBe(0)
    expect(load(process, BASE + 3 * PAGE, 1)).toEqual([4])
    expect(store(process, BASE + PAGE, 9)).toBe(0)
  })

  test('at a hole: -ENOMEM, what lies before it has changed', () => {
    const { process } = boot()
    mapped(process, 4)
    process.munmap(BASE + 2 * PAGE, PAGE)
    expect(process.mprotect(BASE, 4 * PAGE, PROT_READ)).toBe(-ENOMEM)
    expect(store(process, BASE + PAGE, 1)).toBe(-EFAULT)
    expect(store(process, BASE + 3 * PAGE, 1)).toBe(0)
  })

  test('a shared mapping of a file opened for reading may not be written: -EACCES', () => {
    const { process } = boot()
    const memfd = process.memfdCreate('file', 0)
    process.ftruncate(memfd, PAGE)
    const readOnly = process.open(`/proc/self/fd/${memfd}`, O_RDONLY)
    process.mmap(BASE, PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, readOnly)
    expect(process.mprotect(BASE, PAGE, RW)).toBe(-EACCES)
    process.mmap(BASE, PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, readOnly)
    expect(process.mprotect(BASE, PAGE, RW)).toBe(0)
  })
})
