// SPDX-License-Identifier: Apache-2.0

import {
  MAP_SHARED,
  PAGE_SIZE,
  PROT_READ,
  PROT_WRITE,
  VFIO_DMA_MAP_FLAG_READ,
  VFIO_DMA_MAP_FLAG_VADDR,
  VFIO_DMA_MAP_FLAG_WRITE,
  VFIO_IOMMU_MAP_DMA,
  VFIO_SET_IOMMU,
  VFIO_TYPE1_IOMMU,
  vfio_iommu_type1_dma_map,
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
  PAGES,
  Program,
  RW,
} from '../test/harness.js'
import { APERTURE_LAST, APERTURE_START } from '../test/test-domain.js'

const MISSING = 'ENODEV COMPAT_IOAS_MISSING'
const SIZE = vfio_iommu_type1_dma_map.size

describe('V1 the order of checks', () => {
  const map = (program: Program, argsz: number, flags = RW, where = ARG) =>
    program.call(
      VFIO_IOMMU_MAP_DMA,
      vfio_iommu_type1_dma_map,
      { argsz, flags, vaddr: MEMORY, iova: IOVA, size: PAGE },
      where,
    ).outcome

  test('the struct is read first, then judged, then the IOAS is looked for', () => {
    const program = Program.start()
    expect(program.ioctl(VFIO_IOMMU_MAP_DMA, NOTHING)).toBe('EFAULT USER_UNREADABLE')
    expect(program.ioctl(VFIO_IOMMU_MAP_DMA, ARG + PAGE - 8)).toBe('EFAULT USER_UNREADABLE')
    expect(map(program, SIZE - 1, 8)).toBe('EINVAL MAP_ARGSZ_TOO_SMALL')
    expect(map(program, SIZE, 8)).toBe('EINVAL MAP_FLAGS_UNKNOWN')
    expect(map(program, SIZE)).toBe(MISSING)
  })

  test('a larger argsz is not looked at, and nothing is written back', () => {
    const program = Program.withIoas()
    expect(map(program, 0xffff_ffff, RW, ARG + PAGE - SIZE)).toBe('ok')
    must(program.process.mprotect(ARG, PAGE, PROT_READ))
    expect(program.ioctl(VFIO_IOMMU_MAP_DMA, ARG + PAGE - SIZE)).toBe('EEXIST AREA_OVERLAPS')
  })
})

describe('without a domain', () => {
  test('V7 no permission is accepted, VADDR is not', () => {
    const program = Program.withIoas()
    expect(program.map(IOVA, PAGE, MEMORY, 0)).toBe('ok')
    for (const flags of [VFIO_DMA_MAP_FLAG_VADDR, VFIO_DMA_MAP_FLAG_VADDR | RW, 8]) {
      expect(program.map(IOVA + PAGE, PAGE, MEMORY, flags)).toBe('EINVAL MAP_FLAGS_UNKNOWN')
    }
  })

  test('V8 a wrap is EOVERFLOW, of iova as of vaddr', () => {
    const program = Program.withIoas()
    expect(program.map(2n ** 64n - 4096n, 2 * PAGE)).toBe('EOVERFLOW IOVA_WRAPS')
    expect(program.map(IOVA, 2 * PAGE, 2n ** 64n - 4096n)).toBe('EOVERFLOW USER_RANGE_WRAPS')
  })

  test('V9 size 0 is EINVAL', () => {
    expect(Program.withIoas().map(IOVA, 0)).toBe('EINVAL LENGTH_UNUSABLE')
  })

  test('V10 parts of pages can be mapped, until something needs whole ones', () => {
    const program = Program.withIoas()
    expect(program.map(IOVA + 1, 7, MEMORY + 5)).toBe('ok')
    program.unmap(IOVA, PAGE)
    expect(program.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1_IOMMU)).toBe('ok')
    expect(program.map(IOVA, 7)).toBe('EINVAL LENGTH_MISALIGNED')
    expect(program.map(IOVA + 1)).toBe('EINVAL IOVA_MISALIGNED')
    expect(program.map(IOVA, PAGE, MEMORY + 5)).toBe('EINVAL OFFSET_MISALIGNED')
  })

  test('V11 an overlap is EEXIST', () => {
    const program = Program.withIoas()
    expect(program.map(IOVA, 2 * PAGE)).toBe('ok')
    expect(program.map(IOVA + PAGE, 2 * PAGE)).toBe('EEXIST AREA_OVERLAPS')
    expect(program.areas()).toBe('0-2')
  })

  test('V12 a reserved range is EINVAL', () => {
    const program = Program.withIoas()
    must(program.ioas().iopt.reserve(0, IOVA, 0, IOVA + PAGE - 1))
    expect(program.map(IOVA - PAGE, 2 * PAGE)).toBe('EINVAL IOVA_RESERVED')
    expect(program.map(IOVA - PAGE)).toBe('ok')
  })

  test('V13 there are no too many mappings', () => {
    const program = Program.withIoas()
    const { process, fd } = program
    const { at } = vfio_iommu_type1_dma_map
    const iova = new DataView(new ArrayBuffer(8))
    expect(program.map(0)).toBe('ok')
    for (let i = 1; i <= 65_536; i++) {
      iova.setUint32(0, i * PAGE, true)
      must(process.store(ARG + at.iova, new Uint8Array(iova.buffer, 0, 4)))
      must(process.ioctl(fd, VFIO_IOMMU_MAP_DMA, ARG))
    }
    expect(program.ioas().iopt.areas.size).toBe(65_537)
  }, 60_000)

  test('V14 a bad address is not looked at', () => {
    expect(Program.withIoas().map(IOVA, PAGE, NOTHING)).toBe('ok')
  })
})

describe('with a domain', () => {
  test('V7 no permission is refused by the page table, and nothing stays', () => {
    const program = Program.withIoas()
    const domain = program.attach()
    expect(program.map(IOVA, PAGE, MEMORY, 0)).toBe('EINVAL NO_PERMISSION')
    expect(program.areas()).toBe('')
    expect(program.world.machine.pinnedFrames).toBe(0)
    for (const flags of [VFIO_DMA_MAP_FLAG_READ, VFIO_DMA_MAP_FLAG_WRITE]) {
      expect(program.map(IOVA + flags * PAGE, PAGE, MEMORY, flags)).toBe('ok')
    }
    expect(domain.frames.size).toBe(2)
  })

  test('V12 IOVAs outside of the aperture are EINVAL', () => {
    const program = Program.withIoas()
    program.attach()
    expect(program.map(APERTURE_START - PAGE)).toBe('EINVAL IOVA_RESERVED')
    expect(program.map(APERTURE_LAST + 1)).toBe('EINVAL IOVA_RESERVED')
    expect(program.map(APERTURE_START)).toBe('ok')
    expect(program.map(APERTURE_LAST - PAGE + 1)).toBe('ok')
  })

  test('V14 a bad address is EFAULT', () => {
    const program = Program.withIoas()
    program.attach()
    expect(program.map(IOVA, PAGE, NOTHING)).toBe('EFAULT USER_PAGES_BAD')
    const last = MEMORY + (PAGES - 1) * PAGE
    expect(program.map(IOVA, 2 * PAGE, last)).toBe('EFAULT USER_PAGES_BAD')
    expect(program.areas()).toBe('')
    expect(program.world.machine.pinnedFrames).toBe(0)
  })

  test('V15, V16 RLIMIT_MEMLOCK is per user on /dev/iommu, per process on /dev/vfio/vfio', () => {
    for (const [path, others] of [
      ['/dev/iommu', 'ENOMEM USER_LIMIT_EXCEEDED'],
      ['/dev/vfio/vfio', 'ok'],
    ] as const) {
      const world = boot()
      const spawn = { uid: 1000, rlimitMemlock: 2 * PAGE }
      const program = Program.withIoas(world, spawn, path)
      program.attach()
      expect(program.map(IOVA, 2 * PAGE)).toBe('ok')
      const outcome = program.map(IOVA + 2 * PAGE)
      expect(outcome).toMatch(/^ENOMEM (USER|PROCESS)_LIMIT_EXCEEDED$/)
      const sibling = Program.withIoas(world, spawn, path)
      sibling.attach()
      expect(sibling.map(IOVA)).toBe(others)
      const locked = path === '/dev/iommu' ? { VmPin: 8, VmLck: 0 } : { VmPin: 8, VmLck: 8 }
      expect(program.process.status()).toMatchObject(locked)
    }
  })

  test('V16 with CAP_IPC_LOCK nothing is limited', () => {
    const program = Program.withIoas(boot(), { rlimitMemlock: 0 })
    program.attach()
    expect(program.map(IOVA, 2 * PAGE)).toBe('ok')
    expect(program.process.status()).toMatchObject({ VmPin: 8, VmLck: 0 })
  })

  test('V17 pages of a device cannot be mapped', () => {
    const world = boot()
    const frames = new Uint32Array(1)
    must(world.machine.allocate(1, frames, 0))
    const bar = { frames, open: () => {}, close: () => {} }
    world.machine.registerDevice('/dev/bar', () => ({ mmap: () => bar }))
    const program = Program.withIoas(world)
    program.attach()
    const fd = must(program.process.open('/dev/bar'))
    const at = program.process.mmap(0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd)
    expect(program.map(IOVA, PAGE, must(at))).toBe('EFAULT USER_PAGES_BAD')
  })

  test('V30 a domain that conflicts with what is mapped is EADDRINUSE', () => {
    const program = Program.withIoas()
    program.map(APERTURE_START - PAGE)
    expect(program.tryAttach()).toBe('EADDRINUSE SPACE_IN_USE')
    program.unmap(APERTURE_START - PAGE, PAGE)
    program.map(IOVA, 7)
    expect(program.tryAttach()).toBe('EADDRINUSE ALIGNMENT_BREAKS_AREA')
    expect(program.ioas().iopt.domains).toEqual([])
  })

  test('each fault point leaves nothing mapped, pinned or charged', () => {
    const program = Program.withIoas(boot(), { uid: 1000 })
    const domain = program.attach()
    const points = eachFault(
      program.world,
      () => program.map(IOVA, 4 * PAGE),
      (outcome) => {
        expect(outcome).toMatch(/^E(NOMEM|FAULT) INJECTED_/)
        expect(program.areas()).toBe('')
        expect(domain.frames.size).toBe(0)
        expect(program.process.status()).toMatchObject({ VmPin: 0, VmLck: 0 })
        expect(program.world.tables.pages.count).toBe(0)
      },
    )
    expect(points).toBeGreaterThan(3)
    expect(domain.frames.size).toBe(4)
  })
})
