// SPDX-License-Identifier: Apache-2.0
//
// The test operations on accesses: what each checks, in which order, and what it does.

import {
  IOMMU_TEST_OP_ACCESS_PAGES,
  IOMMU_TEST_OP_ACCESS_REPLACE_IOAS,
  IOMMU_TEST_OP_ACCESS_RW,
  IOMMU_TEST_OP_CREATE_ACCESS,
  MOCK_ACCESS_RW_SLOW_PATH,
  MOCK_ACCESS_RW_WRITE,
  MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES,
  MOCK_FLAGS_ACCESS_SYZ,
  MOCK_FLAGS_ACCESS_WRITE,
  PROT_READ,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import {
  allocIoas,
  type Booted,
  BUFFER,
  BUFFER_PAGES,
  boot,
  createAccess,
  destroyId,
  HOLE,
  IOVA,
  map,
  mmap,
  PAGE,
  type Program,
  pinsAt,
  READ,
  readOnlyOp,
  testOp,
} from '../test/harness.js'

const NEEDS_PIN = MOCK_FLAGS_ACCESS_CREATE_NEEDS_PIN_PAGES
const MiB = 2 ** 20
/** Where the bytes of ACCESS_RW come from and go to. */
const DATA = BUFFER + 12 * PAGE

interface Ready extends Booted {
  readonly ioas: number
  /** of an access that pins */
  readonly access: number
}

/** `pages` pages of the buffer mapped at IOVA, page i full of i + 1, and an access. */
function ready(pages = 4, prot?: number): Ready {
  const booted = boot()
  const ioas = allocIoas(booted)
  const mapping = { length: pages * PAGE }
  map(booted, ioas, prot === undefined ? mapping : { ...mapping, prot })
  fill(booted, 1)
  return { ...booted, ioas, access: createAccess(booted, ioas) }
}

function fill({ process }: Program, first: number): void {
  for (let i = 0; i < BUFFER_PAGES; i++) {
    process.store(BUFFER + i * PAGE, new Uint8Array(PAGE).fill(first + i))
  }
}

/** The IOVA "byte `offset` of the n-th area". */
function syz(nth: number, offset: number): bigint {
  return (BigInt(offset) << 32n) | BigInt(nth)
}

interface Pages {
  readonly iova?: number | bigint
  readonly length?: number | bigint
  readonly uptr?: number | bigint
  readonly flags?: number
}

function pagesOp(id: number, pages: Pages): Parameters<typeof testOp>[2] {
  const { iova = IOVA, length = PAGE, uptr = BUFFER, flags = 0 } = pages
  return {
    id,
    access_pages_iova: iova,
    access_pages_length: length,
    access_pages_uptr: uptr,
    access_pages_flags: flags,
  }
}

function pin(program: Program, id: number, pages: Pages = {}): string {
  return testOp(program, IOMMU_TEST_OP_ACCESS_PAGES, pagesOp(id, pages)).answer
}

interface Rw {
  readonly iova?: number | bigint
  readonly length?: number | bigint
  readonly uptr?: number | bigint
  readonly flags?: number
}

function rw(program: Program, id: number, args: Rw = {}): string {
  const { iova = IOVA, length = 4, uptr = DATA, flags = 0 } = args
  return testOp(program, IOMMU_TEST_OP_ACCESS_RW, {
    id,
    access_rw_iova: iova,
    access_rw_length: length,
    access_rw_uptr: uptr,
    access_rw_flags: flags,
  }).answer
}

function load({ process }: Program, addr: number, length: number): number[] {
  const bytes = process.load(addr, length)
  if (typeof bytes === 'number') throw new Error('load')
  return [...bytes]
}

describe('CREATE_ACCESS', () => {
  function create(program: Program, id: number, flags: number): string {
    const values = { id, create_access_flags: flags }
    return testOp(program, IOMMU_TEST_OP_CREATE_ACCESS, values).answer
  }

  test('section 10: it gives the lowest free descriptor and takes an object id', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    const fd = createAccess(booted, ioas)
    expect([fd, booted.process.file(fd)?.name]).toEqual([4, '[iommufd_test_staccess]'])
    expect([...booted.ctx.objects].map(({ typeName }) => typeName)).toEqual(['IOAS', 'ACCESS'])
    booted.process.close(0)
    expect(createAccess(booted, ioas)).toBe(0)
    expect(destroyId(booted, ioas)).toBe('EBUSY OBJECT_BUSY')
    expect(destroyId(booted, 2)).toBe('EBUSY OBJECT_BUSY')
  })

  test('section 10: an unknown flag is EOPNOTSUPP, then no descriptor ENOMEM, then no IOAS ENOENT', () => {
    const booted = boot()
    const { process } = booted
    expect(create(booted, 99, NEEDS_PIN)).toBe('ENOENT OBJECT_UNKNOWN')
    while (process.dup(0) >= 0) {}
    expect(create(booted, 99, 2)).toBe('EOPNOTSUPP TEST_FLAGS_UNKNOWN')
    expect(booted.engine.refusals.last?.operands).toEqual({ flags: 2, known: NEEDS_PIN })
    expect(create(booted, 99, NEEDS_PIN)).toBe('ENOMEM NO_FREE_DESCRIPTOR')
    expect(booted.ctx.objects.isEmpty).toBe(true)
  })

  test('E2: one that pins does not go with a misaligned area, one that does not pin does', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    map(booted, ioas, { length: 100 })
    expect(create(booted, ioas, NEEDS_PIN)).toBe('EADDRINUSE ALIGNMENT_BREAKS_AREA')
    expect(booted.ctx.objects.count).toBe(1)
    expect(create(booted, ioas, 0)).toBe('0')
  })

  test('F9: one whose descriptor cannot be written back never was', () => {
    const booted = boot()
    const id = allocIoas(booted)
    const answer = readOnlyOp(booted, IOMMU_TEST_OP_CREATE_ACCESS, { id })
    expect(answer).toBe('EFAULT STRUCT_UNWRITABLE')
    expect([booted.ctx.objects.count, booted.process.file(4)]).toEqual([1, undefined])
    expect(destroyId(booted, id)).toBe('0')
  })

  test('F9: every fault point of it leaves nothing', () => {
    const booted = boot()
    const { engine, ctx, process } = booted
    const ioas = allocIoas(booted)
    let failures = 0
    for (; ; failures++) {
      engine.faults.arm(failures + 1)
      const answer = create(booted, ioas, NEEDS_PIN)
      if (!engine.faults.fired) break
      expect(answer).toMatch(/INJECTED/)
      expect([ctx.objects.count, ctx.objects.get(ioas)?.users, process.file(4)]).toEqual([
        1,
        0,
        undefined,
      ])
    }
    expect(failures).toBe(5)
  })
})

describe('ACCESS_REPLACE_IOAS', () => {
  function replace(program: Program, id: number, ioas: number): string {
    const values = { id, access_replace_ioas_ioas_id: ioas }
    return testOp(program, IOMMU_TEST_OP_ACCESS_REPLACE_IOAS, values).answer
  }

  test('section 10: the access moves, and what it has pinned is let go', () => {
    const there = ready()
    const second = allocIoas(there)
    pin(there, there.access)
    expect(replace(there, there.access, second)).toBe('0')
    expect(pinsAt(there, BUFFER, 1)).toEqual([0])
    expect(destroyId(there, there.ioas)).toBe('0')
    expect(pin(there, there.access)).toBe('ENOENT ACCESS_NOT_MAPPED')
  })

  test('section 10: a descriptor that is no access is EBADFD, before the IOAS is looked up', () => {
    const there = ready()
    for (const fd of [0, there.fd, 99, 0xffffffff]) {
      expect(replace(there, fd, 99)).toBe('EBADFD FD_IS_NO_ACCESS')
    }
    expect(replace(there, there.access, 99)).toBe('ENOENT OBJECT_UNKNOWN')
    expect(replace(there, there.access, 2)).toBe('ENOENT OBJECT_UNKNOWN')
    expect(replace(there, there.access, there.ioas)).toBe('0')
  })
})

describe('ACCESS_RW', () => {
  test('section 10: it reads into memory of the caller, and writes from there', () => {
    const there = ready()
    expect(rw(there, there.access, { iova: IOVA + PAGE - 2 })).toBe('0')
    expect(load(there, DATA, 5)).toEqual([1, 1, 2, 2, 13])
    there.process.store(DATA, Uint8Array.of(91, 92, 93, 94))
    for (const [at, path] of [
      [0, 0],
      [8, MOCK_ACCESS_RW_SLOW_PATH],
    ] as const) {
      const flags = MOCK_ACCESS_RW_WRITE | path
      expect(rw(there, there.access, { iova: IOVA + at, length: 3, flags })).toBe('0')
      expect(load(there, BUFFER + at, 4)).toEqual([91, 92, 93, 1])
    }
  })

  test('section 10: more than 16 MiB is ENOMEM, then a flag EOPNOTSUPP, then a descriptor EBADFD', () => {
    const there = ready()
    const large = [16 * MiB + 1, 2n ** 32n, 2n ** 31n, 2n ** 64n - 1n]
    for (const length of large) {
      expect(rw(there, 99, { length, flags: 2 })).toBe('ENOMEM ACCESS_TOO_LARGE')
      expect(there.engine.refusals.last?.operands).toEqual({ length: BigInt(length) })
    }
    for (const flags of [2, 8, 0x80000000]) {
      expect(rw(there, 99, { flags })).toBe('EOPNOTSUPP TEST_FLAGS_UNKNOWN')
    }
    expect(rw(there, 99)).toBe('EBADFD FD_IS_NO_ACCESS')
    expect(rw(there, there.fd)).toBe('EBADFD FD_IS_NO_ACCESS')
    expect(rw(there, there.access, { length: 16 * MiB })).toBe('ENOENT ACCESS_NOT_MAPPED')
  })

  test('section 10: what is to be written is fetched before the IOVA is looked at', () => {
    const there = ready()
    const flags = MOCK_ACCESS_RW_WRITE
    expect(rw(there, there.access, { iova: 0, uptr: HOLE, flags })).toBe('EFAULT USER_UNREADABLE')
    expect(rw(there, there.access, { iova: 0, uptr: DATA, flags })).toBe('ENOENT ACCESS_NOT_MAPPED')
    expect(rw(there, there.access, { iova: 0, uptr: HOLE })).toBe('ENOENT ACCESS_NOT_MAPPED')
    expect(rw(there, there.access, { uptr: HOLE })).toBe('EFAULT USER_UNWRITABLE')
  })

  test('E7: length 0 is EINVAL, a wrap EOVERFLOW, a missing permission EPERM', () => {
    const there = ready(1, READ)
    const flags = MOCK_ACCESS_RW_WRITE
    expect(rw(there, there.access, { length: 0 })).toBe('EINVAL ACCESS_LENGTH_ZERO')
    expect(rw(there, there.access, { length: 0, uptr: 0, flags })).toBe('EINVAL ACCESS_LENGTH_ZERO')
    expect(rw(there, there.access, { iova: 2n ** 64n - 1n })).toBe('EOVERFLOW ACCESS_RANGE_WRAPS')
    expect(rw(there, there.access, { flags })).toBe('EPERM ACCESS_FORBIDDEN')
  })

  test('E7: a refused read brings nothing to the caller, a refused write what lies before', () => {
    const there = ready(1)
    const iova = IOVA + PAGE - 2
    expect(rw(there, there.access, { iova })).toBe('ENOENT ACCESS_NOT_MAPPED')
    expect(load(there, DATA, 4)).toEqual([13, 13, 13, 13])
    expect(rw(there, there.access, { iova, flags: MOCK_ACCESS_RW_WRITE })).toBe(
      'ENOENT ACCESS_NOT_MAPPED',
    )
    expect(load(there, BUFFER + PAGE - 3, 4)).toEqual([1, 13, 13, 2])
  })

  test('E7: the mapper sees its present memory, and what is pinned with SLOW_PATH across pages', () => {
    const there = ready()
    pin(there, there.access, { length: 2 * PAGE })
    mmap(there.process, BUFFER, 2)
    there.process.store(BUFFER, new Uint8Array(2 * PAGE).fill(77))
    const edge = IOVA + PAGE - 2
    const slow = MOCK_ACCESS_RW_SLOW_PATH
    rw(there, there.access, { iova: edge })
    expect(load(there, DATA, 4)).toEqual([77, 77, 77, 77])
    rw(there, there.access, { iova: edge, flags: slow })
    expect(load(there, DATA, 4)).toEqual([1, 1, 2, 2])
    rw(there, there.access, { iova: edge, length: 2, flags: slow })
    expect(load(there, DATA, 4)).toEqual([77, 77, 2, 2])
  })

  test('E7: another process sees the page tables of the mapper inside a page, pins across pages', () => {
    const there = ready()
    const child: Program = { ...there, process: there.process.fork() }
    pin(there, there.access, { length: 2 * PAGE })
    mmap(there.process, BUFFER, 2)
    there.process.store(BUFFER, new Uint8Array(2 * PAGE).fill(77))
    fill(child, 200)
    const edge = IOVA + PAGE - 2
    expect(rw(child, there.access, { iova: edge })).toBe('0')
    expect(load(child, DATA, 4)).toEqual([1, 1, 2, 2])
    expect(rw(child, there.access, { iova: edge, length: 2 })).toBe('0')
    expect(load(child, DATA, 4)).toEqual([77, 77, 2, 2])
  })

  test('section 10: an access that does not pin reads at any alignment', () => {
    const booted = boot()
    const ioas = allocIoas(booted)
    map(booted, ioas, { iova: 0x1003, va: BUFFER + 1, length: 7 })
    fill(booted, 1)
    const access = createAccess(booted, ioas, 0)
    expect(rw(booted, access, { iova: 0x1004, length: 6 })).toBe('0')
    expect(rw(booted, access, { iova: 0x1004, length: 7 })).toBe('ENOENT ACCESS_NOT_MAPPED')
  })

  test('section 10: SYZ names a byte of the n-th area', () => {
    const there = ready(2)
    map(there, there.ioas, { iova: IOVA + 8 * PAGE, va: BUFFER + 5 * PAGE, length: PAGE })
    const flags = MOCK_FLAGS_ACCESS_SYZ
    expect(rw(there, there.access, { iova: syz(1, 3), length: 2, flags })).toBe('0')
    expect(rw(there, there.access, { iova: syz(0, PAGE), uptr: DATA + 2, length: 2, flags })).toBe(
      '0',
    )
    expect(load(there, DATA, 4)).toEqual([6, 6, 2, 2])
    for (const nth of [2, 0xffffffff]) {
      expect(rw(there, there.access, { iova: syz(nth, 0), flags })).toBe('ENOENT ACCESS_NOT_MAPPED')
    }
    map(there, there.ioas, { iova: 0, va: BUFFER + 7 * PAGE, length: PAGE })
    expect(rw(there, there.access, { iova: syz(9, 5), flags })).toBe('0')
    expect(load(there, DATA, 4)).toEqual([8, 8, 8, 8])
  })
})

describe('ACCESS_PAGES', () => {
  test('section 10: it pins, and compares with what the caller has at uptr', () => {
    const there = ready()
    expect(pin(there, there.access, { length: 3 * PAGE })).toBe('0')
    expect(pinsAt(there, BUFFER, 4)).toEqual([1, 1, 1, 0])
  })

  test('section 10: more than 16 MiB is ENOMEM, then a flag EOPNOTSUPP, then a descriptor EBADFD, then no pinning EOPNOTSUPP', () => {
    const there = ready()
    const plain = createAccess(there, there.ioas, 0)
    for (const length of [16 * MiB + 1, 2n ** 31n, 2n ** 32n + 1n, 2n ** 64n - 1n]) {
      expect(pin(there, 99, { length, flags: 2 })).toBe('ENOMEM ACCESS_TOO_LARGE')
    }
    for (const flags of [2, 4, 0x80000000]) {
      expect(pin(there, 99, { flags })).toBe('EOPNOTSUPP TEST_FLAGS_UNKNOWN')
    }
    for (const fd of [99, 0, there.fd, 0xffffffff]) {
      expect(pin(there, fd)).toBe('EBADFD FD_IS_NO_ACCESS')
    }
    expect(pin(there, plain, { length: 0 })).toBe('EOPNOTSUPP ACCESS_CANNOT_PIN')
    expect(pin(there, there.access, { length: 16 * MiB })).toBe('ENOENT ACCESS_NOT_MAPPED')
  })

  test('E7: length 0 is EINVAL, a wrap EOVERFLOW, a hole ENOENT, a missing permission EPERM', () => {
    const there = ready(2, READ)
    const { access } = there
    expect(pin(there, access, { length: 0 })).toBe('EINVAL ACCESS_LENGTH_ZERO')
    expect(pin(there, access, { iova: IOVA + 5, length: 0 })).toBe('EINVAL ACCESS_LENGTH_ZERO')
    expect(pin(there, access, { iova: 2n ** 64n - 1n })).toBe('EOVERFLOW ACCESS_RANGE_WRAPS')
    expect(pin(there, access, { length: 3 * PAGE })).toBe('ENOENT ACCESS_NOT_MAPPED')
    expect(pin(there, access, { iova: IOVA + 1 })).toBe('EINVAL PIN_MISALIGNED')
    expect(pin(there, access, { flags: MOCK_FLAGS_ACCESS_WRITE })).toBe('EPERM ACCESS_FORBIDDEN')
    there.process.munmap(BUFFER, PAGE)
    expect(pin(there, access)).toBe('EFAULT USER_PAGES_BAD')
    expect(there.machine.pinnedFrames).toBe(0)
  })

  test('section 10: other pages at uptr are EBADE, none EFAULT, and nothing stays pinned', () => {
    const there = ready()
    const length = 2 * PAGE
    expect(pin(there, there.access, { length, uptr: BUFFER + PAGE })).toBe('EBADE PAGES_DIFFER')
    mmap(there.process, BUFFER + PAGE, 1)
    expect(pin(there, there.access, { length })).toBe('0')
    there.process.munmap(BUFFER + PAGE, PAGE)
    expect(pin(there, there.access, { length })).toBe('EFAULT PAGE_NOT_THERE')
    expect(there.engine.refusals.last?.operands).toEqual({ address: BigInt(BUFFER + PAGE) })
    expect(pin(there, there.access, { length, uptr: HOLE })).toBe('EFAULT PAGE_NOT_THERE')
    expect(pin(there, there.access, { length, uptr: 0 })).toBe('0')
    there.process.close(there.access)
    expect(there.machine.pinnedFrames).toBe(0)
  })

  test('section 10: the page of another process is another page', () => {
    const there = ready()
    const child: Program = { ...there, process: there.process.fork() }
    child.process.store(BUFFER, Uint8Array.of(1))
    expect(pin(child, there.access)).toBe('EBADE PAGES_DIFFER')
    expect(pin(there, there.access)).toBe('0')
    expect(pin(child, there.access, { uptr: 0 })).toBe('0')
  })

  test('section 10: an id that cannot be written back is not held', () => {
    const there = ready()
    const answer = readOnlyOp(there, IOMMU_TEST_OP_ACCESS_PAGES, pagesOp(there.access, {}))
    expect(answer).toBe('EFAULT STRUCT_UNWRITABLE')
    expect(pinsAt(there, BUFFER, 1)).toEqual([0])
  })

  test('section 10: every fault point of it leaves nothing pinned', () => {
    const there = ready()
    const { engine, machine } = there
    let failures = 0
    for (; ; failures++) {
      engine.faults.arm(failures + 1)
      const answer = pin(there, there.access, { length: 4 * PAGE })
      if (!engine.faults.fired) break
      expect(answer).toMatch(/INJECTED/)
      expect([machine.pinnedFrames, there.process.status().VmPin]).toEqual([0, 0])
    }
    expect(failures).toBeGreaterThanOrEqual(6)
    expect(machine.pinnedFrames).toBe(4)
  })

  test('section 10: SYZ names a byte of the n-th area', () => {
    const there = ready(2)
    map(there, there.ioas, { iova: IOVA + 8 * PAGE, va: BUFFER + 5 * PAGE, length: PAGE })
    const flags = MOCK_FLAGS_ACCESS_SYZ
    const { access } = there
    expect(pin(there, access, { iova: syz(1, 0), uptr: BUFFER + 5 * PAGE, flags })).toBe('0')
    expect(pin(there, access, { iova: syz(0, PAGE), uptr: BUFFER + PAGE, flags })).toBe('0')
    expect(pin(there, access, { iova: syz(0, 1), flags })).toBe('EINVAL PIN_MISALIGNED')
    expect(pin(there, access, { iova: syz(2, 0), flags })).toBe('ENOENT ACCESS_NOT_MAPPED')
    expect(pinsAt(there, BUFFER, 6)).toEqual([0, 1, 0, 0, 0, 1])
  })

  test('E7: a pin for writing needs writable memory', () => {
    const there = ready()
    there.process.mprotect(BUFFER, PAGE, PROT_READ)
    const flags = MOCK_FLAGS_ACCESS_WRITE
    expect(pin(there, there.access, { flags })).toBe('EFAULT USER_PAGES_BAD')
    expect(pin(there, there.access, { iova: IOVA + PAGE, uptr: BUFFER + PAGE, flags })).toBe('0')
  })
})
