// SPDX-License-Identifier: Apache-2.0

import { pinRange, unpinRange } from '@iommufd/pages'
import {
  PROT_READ,
  VFIO_DMA_UNMAP_FLAG_ALL,
  VFIO_IOMMU_UNMAP_DMA,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  vfio_iommu_type1_dma_unmap,
  writeStruct,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import {
  ARG,
  boot,
  eachFault,
  IOVA,
  MEMORY,
  must,
  NOTHING,
  PAGE,
  Program,
} from '../test/harness.js'

const ALL = VFIO_DMA_UNMAP_FLAG_ALL
const SIZE = vfio_iommu_type1_dma_unmap.size
const at = (page: number): number => IOVA + page * PAGE

/** A program with areas of `pages` pages each, side by side. */
function mapped(pages: number[], type1 = false, domain = false): Program {
  const program = Program.withIoas()
  if (type1) expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)).toBe('ok')
  if (domain) program.attach()
  let page = 0
  for (const count of pages) {
    expect(program.map(at(page), count * PAGE, MEMORY + page * PAGE)).toBe('ok')
    page += count
  }
  return program
}

/** An in-kernel user that pins the page and, when asked, lets go or not. */
function pin(program: Program, page: number, letsGo = true): { asked: number; release(): void } {
  const { iopt } = program.ioas()
  const iova = at(page)
  const user = {
    alignment: PAGE,
    asked: 0,
    unmap: () => {
      user.asked++
      if (letsGo) user.release()
    },
    release: () => unpinRange(iopt, 0, iova, 0, iova + PAGE - 1),
  }
  must(iopt.addAccess(user))
  must(pinRange(iopt, 0, iova, 0, iova + PAGE - 1, true, new Uint32Array(1)))
  return user
}

describe('V1, V24, V25 the order of checks', () => {
  const unmap = (program: Program, values: object) =>
    program.call(VFIO_IOMMU_UNMAP_DMA, vfio_iommu_type1_dma_unmap, values).outcome

  test('the struct is read first, then judged, then the IOAS is looked for, then the range', () => {
    const program = Program.start()
    expect(program.ioctl(VFIO_IOMMU_UNMAP_DMA, NOTHING)).toBe('EFAULT USER_UNREADABLE')
    expect(unmap(program, { argsz: SIZE - 1, flags: 1 })).toBe('EINVAL UNMAP_ARGSZ_TOO_SMALL')
    for (const flags of [1, 4, 3, 6, 8]) {
      expect(unmap(program, { flags, iova: 1 })).toBe('EINVAL UNMAP_FLAGS_UNKNOWN')
    }
    for (const flags of [0, ALL]) {
      expect(unmap(program, { flags, iova: 1 })).toBe('ENODEV COMPAT_IOAS_MISSING')
    }
  })

  test('V24 ALL takes no range, unmaps everything and says how much', () => {
    const program = mapped([1, 2])
    const refused = { outcome: 'EINVAL UNMAP_ALL_HAS_RANGE' }
    expect(program.unmap(1, 0, ALL)).toMatchObject({ ...refused, size: 0 })
    expect(program.unmap(0, 7, ALL)).toMatchObject({ ...refused, size: 7 })
    expect(program.areas()).toBe('0-1 1-3')
    expect(program.unmap(0, 0, ALL)).toMatchObject({ outcome: 'ok', size: 3 * PAGE })
    expect(program.unmap(0, 0, ALL)).toMatchObject({ outcome: 'ok', size: 0 })
  })

  test('a range that cannot be is refused; size comes back as 0', () => {
    const program = mapped([1])
    expect(program.unmap(IOVA, 0)).toMatchObject({ outcome: 'EINVAL UNMAP_SIZE_ZERO', size: 0 })
    const wraps = { outcome: 'EOVERFLOW UNMAP_RANGE_WRAPS', size: 0 }
    expect(program.unmap(2n ** 64n - 4096n, 2 * PAGE)).toMatchObject(wraps)
    const whole = program.unmap(0, 2n ** 64n - 1n)
    expect(whole).toMatchObject({ outcome: 'ok', size: PAGE })
  })

  test('what is unmapped stays so when size cannot be written back', () => {
    const program = mapped([1])
    const layout = vfio_iommu_type1_dma_unmap
    must(program.process.store(ARG, writeStruct(layout, { iova: IOVA, size: PAGE })))
    must(program.process.mprotect(ARG, PAGE, PROT_READ))
    expect(program.ioctl(VFIO_IOMMU_UNMAP_DMA, ARG)).toBe('EFAULT USER_UNWRITABLE')
    expect(program.areas()).toBe('')
  })
})

describe('TYPE1v2', () => {
  test('V18 a part of an area is ENOENT; whole areas before it are gone and counted', () => {
    const program = mapped([1, 1, 2])
    const answer = program.unmap(at(0), 3 * PAGE)
    expect(answer).toMatchObject({ outcome: 'ENOENT AREA_PARTLY_COVERED', size: 2 * PAGE })
    expect(program.areas()).toBe('2-4')
    expect(program.unmap(at(3), PAGE)).toMatchObject({ ret: -2, size: 0 })
    expect(program.unmap(at(2), 2 * PAGE)).toMatchObject({ outcome: 'ok', size: 2 * PAGE })
  })

  test('V22 misaligned ranges are not refused as such', () => {
    const program = mapped([1])
    expect(program.unmap(at(1) + 1, 17)).toMatchObject({ outcome: 'ok', size: 0 })
    expect(program.unmap(at(0) + 1, 17)).toMatchObject({ ret: -2, size: 0 })
    expect(program.unmap(at(0) - 1, PAGE + 2)).toMatchObject({ outcome: 'ok', size: PAGE })
  })

  test('V23 an empty range is unmapped with success', () => {
    const program = mapped([])
    expect(program.unmap(at(0), PAGE)).toMatchObject({ outcome: 'ok', size: 0 })
    expect(program.ioasUnmap(at(0), PAGE)).toBe('ENOENT NOTHING_MAPPED')
  })
})

describe.each([
  ['no domain', false],
  ['a domain', true],
])('TYPE1 with %s', (_, domain) => {
  test('V19 a range inside an area is cut out of it', () => {
    const program = mapped([4], true, domain)
    expect(program.unmap(at(1), PAGE)).toMatchObject({ outcome: 'ok', size: PAGE })
    expect(program.areas()).toBe('0-1 2-4')
    expect(program.unmap(at(2), PAGE)).toMatchObject({ outcome: 'ok', size: PAGE })
    expect(program.unmap(at(3), PAGE)).toMatchObject({ outcome: 'ok', size: PAGE })
    expect(program.unmap(at(0), PAGE)).toMatchObject({ outcome: 'ok', size: PAGE })
    expect(program.world.tables.pages.count).toBe(0)
    expect(program.world.machine.pinnedFrames).toBe(0)
  })

  test('V20 the start of an area is cut off', () => {
    const program = mapped([4], true, domain)
    expect(program.unmap(at(0), 3 * PAGE)).toMatchObject({ outcome: 'ok', size: 3 * PAGE })
    expect(program.areas()).toBe('3-4')
  })

  test('a range over several areas cuts the first and the last', () => {
    const program = mapped([2, 1, 2], true, domain)
    expect(program.unmap(at(1), 3 * PAGE)).toMatchObject({ outcome: 'ok', size: 3 * PAGE })
    expect(program.areas()).toBe('0-1 4-5')
  })

  test('V21 a cut that is not at a page is EINVAL, and nothing is unmapped or written', () => {
    const program = mapped([4], true, domain)
    const size = PAGE + 1
    const refused = { outcome: 'EINVAL SPLIT_MISALIGNED', size }
    expect(program.unmap(at(0), size)).toMatchObject(refused)
    expect(program.unmap(at(1) + 1, size - 2)).toMatchObject({ ret: -22 })
    // As on Linux the first byte of an area is no place to cut at, so this is only partly covered.
    expect(program.unmap(at(0), 1)).toMatchObject({
      outcome: 'ENOENT AREA_PARTLY_COVERED',
      size: 0,
    })
    expect(program.unmap(at(0), 4 * PAGE)).toMatchObject({ outcome: 'ok', size: 4 * PAGE })
  })

  test('V21 nothing is cut out of an area in which an in-kernel user has pins', () => {
    const program = mapped([4], true, domain)
    const user = pin(program, 3)
    const refused = { outcome: 'EINVAL SPLIT_AREA_PINNED', size: PAGE }
    expect(program.unmap(at(1), PAGE)).toMatchObject(refused)
    expect(user.asked).toBe(0)
    expect(program.unmap(at(0), 4 * PAGE)).toMatchObject({ outcome: 'ok', size: 4 * PAGE })
    expect(user.asked).toBe(1)
  })

  test('HUGE_PAGES=0 alone makes areas divisible', () => {
    const program = Program.withIoas()
    must(program.ioas().iopt.disableLargePages())
    if (domain) program.attach()
    program.map(at(0), 4 * PAGE)
    expect(program.unmap(at(1), PAGE)).toMatchObject({ outcome: 'ok', size: PAGE })
  })

  test('a refused cut leaves the mapping whole, at each fault point', () => {
    const program = mapped([4], true, domain)
    const { iopt } = program.ioas()
    const frames = () => {
      const found = new Uint32Array(4)
      iopt.domains[0]?.framesAt(0, at(0), 0, found, 0, 4)
      return found
    }
    let before: unknown
    const points = eachFault(
      program.world,
      () => program.unmap(at(1), 2 * PAGE).outcome,
      (outcome) => {
        expect(outcome).toMatch(/^E(NOMEM|FAULT) INJECTED_/)
        // When the answer cannot be copied, the unmapping has been made; a first cut stays.
        if (program.areas() === '0-1 3-4') return
        expect(['0-4', '0-3 3-4']).toContain(program.areas())
        expect(frames()).toEqual(before)
      },
      () => {
        program.unmap(0, 0, ALL)
        program.map(at(0), 4 * PAGE)
        before = frames()
      },
    )
    expect(points).toBe(4)
    expect(program.unmap(0, 0, ALL)).toMatchObject({ outcome: 'ok', size: 2 * PAGE })
    const { machine, tables } = program.world
    expect([machine.pinnedFrames, tables.areas.count, tables.pages.count]).toEqual([0, 0, 0])
  })
})

test('V21 with large pages a domain might map, nothing can be cut: TYPE1 is refused before', () => {
  const program = mapped([4], false, true)
  expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)).toBe('EINVAL HUGE_PAGES_MAPPED')
  expect(program.unmap(at(1), PAGE)).toMatchObject({ ret: -2, size: 0 })
})

test('every page is unpinned and given back exactly once, cut by cut', () => {
  const world = boot()
  const program = Program.withIoas(world, { uid: 1000 })
  must(program.ioas().iopt.disableLargePages())
  const domain = program.attach()
  const second = program.attach()
  program.map(at(0), 8 * PAGE)
  let left = 8
  for (const page of [3, 5, 0, 7, 4, 1, 6, 2]) {
    expect(program.unmap(at(page), PAGE)).toMatchObject({ outcome: 'ok', size: PAGE })
    left--
    expect([domain.frames.size, second.frames.size]).toEqual([left, left])
    expect(program.process.status().VmPin).toBe(4 * left)
  }
  expect(program.process.user.lockedVm).toBe(0)
  expect(program.process.mm.lockedVm).toBe(0)
})

test('V33 a user that does not let go is asked once and 100 times again, then EDEADLOCK', () => {
  const warnings: string[] = []
  const world = boot({ onWarning: (message) => warnings.push(message) })
  const program = Program.withIoas(world)
  program.map(at(0), PAGE)
  const user = pin(program, 0, false)
  const answer = program.unmap(at(0), PAGE)
  expect(answer).toMatchObject({ outcome: 'EDEADLK ACCESS_HOLDS_AREA', size: 0 })
  expect(user.asked).toBe(101)
  expect(warnings.length).toBe(1)
  user.release()
  expect(program.unmap(at(0), PAGE)).toMatchObject({ outcome: 'ok', size: PAGE })
})
