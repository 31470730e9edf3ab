// SPDX-License-Identifier: Apache-2.0
//
// What an access of a test holds: items with ids, until they are destroyed, unmapped or closed.

import { IOMMU_TEST_OP_ACCESS_PAGES, IOMMU_TEST_OP_DESTROY_ACCESS_PAGES } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import {
  allocIoas,
  type Booted,
  BUFFER,
  boot,
  createAccess,
  destroyId,
  IOVA,
  map,
  PAGE,
  type Program,
  pinsAt,
  testOp,
  unmap,
} from '../test/harness.js'

interface Ready extends Booted {
  readonly ioas: number
  readonly access: number
}

/** Four areas of one page at IOVA, and an access. */
function ready(): Ready {
  const booted = boot()
  const ioas = allocIoas(booted)
  for (let i = 0; i < 4; i++) {
    map(booted, ioas, { iova: IOVA + i * PAGE, va: BUFFER + i * PAGE, length: PAGE })
  }
  return { ...booted, ioas, access: createAccess(booted, ioas) }
}

/** Pins pages [first, first + count) of IOVA: the item's id. */
function hold(program: Program, access: number, first: number, count = 1): number {
  const { answer, out } = testOp(program, IOMMU_TEST_OP_ACCESS_PAGES, {
    id: access,
    access_pages_iova: IOVA + first * PAGE,
    access_pages_length: count * PAGE,
  })
  if (answer !== '0') throw new Error(`ACCESS_PAGES: ${answer}`)
  return out.access_pages_out_access_pages_id
}

function letGo(program: Program, access: number, item: number): string {
  const values = { id: access, destroy_access_pages_access_pages_id: item }
  return testOp(program, IOMMU_TEST_OP_DESTROY_ACCESS_PAGES, values).answer
}

describe('items', () => {
  test('section 10: ids count up from 0, per access, and are never used twice', () => {
    const there = ready()
    const other = createAccess(there, there.ioas)
    expect([hold(there, there.access, 0), hold(there, there.access, 0)]).toEqual([0, 1])
    expect(hold(there, other, 0)).toBe(0)
    expect(letGo(there, there.access, 1)).toBe('0')
    expect(hold(there, there.access, 2)).toBe(2)
  })

  test('section 10: DESTROY_ACCESS_PAGES gives back the pins of its item alone', () => {
    const there = ready()
    const wide = hold(there, there.access, 0, 3)
    const narrow = hold(there, there.access, 2, 2)
    expect(letGo(there, there.access, wide)).toBe('0')
    expect(pinsAt(there, BUFFER, 4)).toEqual([0, 0, 1, 1])
    expect(letGo(there, there.access, narrow)).toBe('0')
    expect(there.machine.pinnedFrames).toBe(0)
  })

  test('section 10: a descriptor that is no access is EBADFD, an unknown item ENOENT', () => {
    const there = ready()
    const other = createAccess(there, there.ioas)
    const item = hold(there, there.access, 0)
    for (const fd of [0, there.fd, 99]) {
      expect(letGo(there, fd, item)).toBe('EBADFD FD_IS_NO_ACCESS')
    }
    expect(letGo(there, other, item)).toBe('ENOENT PINNED_ITEM_UNKNOWN')
    for (const wrong of [item + 1, 0xffffffff]) {
      expect(letGo(there, there.access, wrong)).toBe('ENOENT PINNED_ITEM_UNKNOWN')
      expect(there.engine.refusals.last?.operands).toEqual({ id: wrong })
    }
    expect(letGo(there, there.access, item)).toBe('0')
    expect(letGo(there, there.access, item)).toBe('ENOENT PINNED_ITEM_UNKNOWN')
  })

  test('C8: unmapping an area drops the items that touch it, and no other', () => {
    const there = ready()
    const [first, both, second] = [
      hold(there, there.access, 0),
      hold(there, there.access, 0, 2),
      hold(there, there.access, 1),
    ]
    expect(unmap(there, there.ioas, IOVA, PAGE)).toBe('0')
    for (const gone of [first, both]) {
      expect(letGo(there, there.access, gone)).toBe('ENOENT PINNED_ITEM_UNKNOWN')
    }
    expect(pinsAt(there, BUFFER, 2)).toEqual([0, 1])
    expect(letGo(there, there.access, second)).toBe('0')
  })

  test('C8: items on either side of an unmapped area stay', () => {
    const there = ready()
    const items = [0, 1, 2].map((page) => hold(there, there.access, page))
    expect(unmap(there, there.ioas, IOVA + PAGE, PAGE)).toBe('0')
    expect(pinsAt(there, BUFFER, 3)).toEqual([1, 0, 1])
    expect(items.map((item) => letGo(there, there.access, item))).toEqual([
      '0',
      'ENOENT PINNED_ITEM_UNKNOWN',
      '0',
    ])
  })

  test('C8: unmapping everything drops everything', () => {
    const there = ready()
    for (let i = 0; i < 4; i++) hold(there, there.access, i)
    expect(unmap(there, there.ioas, 0, 2n ** 64n - 1n)).toBe('0')
    expect(there.machine.pinnedFrames).toBe(0)
  })
})

describe('descriptors', () => {
  test('section 10: closing the last one lets everything go and ends the access', () => {
    const there = ready()
    hold(there, there.access, 0, 4)
    const { process, ctx, machine } = there
    const second = process.dup(there.access)
    const child = process.fork()
    process.close(there.access)
    process.close(second)
    expect([machine.pinnedFrames, ctx.objects.count]).toEqual([4, 2])
    child.close(there.access)
    expect(machine.pinnedFrames).toBe(4)
    child.close(second)
    expect([machine.pinnedFrames, ctx.objects.count]).toEqual([0, 1])
    expect(destroyId(there, there.ioas)).toBe('0')
  })

  test('section 10: exit closes it', () => {
    const there = ready()
    hold(there, there.access, 0, 4)
    there.process.exit()
    const { machine, ctx } = there
    expect([machine.pinnedFrames, machine.framesInUse, ctx.released]).toEqual([0, 0, true])
  })

  test('section 10: a copy of the descriptor is the same access', () => {
    const there = ready()
    const copy = there.process.dup(there.access)
    const child: Program = { ...there, process: there.process.fork() }
    const item = hold(child, there.access, 0)
    expect(letGo(there, copy, item)).toBe('0')
  })

  test('section 10: an access works through the descriptor of any context', () => {
    const there = ready()
    const other: Program = { ...there, fd: there.process.open('/dev/iommu') }
    expect(letGo(there, there.access, hold(other, there.access, 1))).toBe('0')
  })

  test('section 10: an access outlives the descriptors of its context', () => {
    const there = ready()
    const other: Program = { ...there, fd: there.process.open('/dev/iommu') }
    there.process.close(there.fd)
    expect(there.ctx.released).toBe(false)
    expect(hold(other, there.access, 3)).toBe(0)
    there.process.close(there.access)
    expect([there.ctx.released, there.machine.pinnedFrames]).toEqual([true, 0])
  })

  test('section 10: an access has no ioctls, reads or writes', () => {
    const { process, access } = ready()
    expect(process.ioctl(access, 0x3ba0, BUFFER)).toBe(-25)
    expect([process.read(access, BUFFER, 8), process.write(access, BUFFER, 8)]).toEqual([-22, -22])
  })
})

test('section 10: a pinned page survives the exit of its process, as long as another holds the access', () => {
  const there = ready()
  there.process.store(BUFFER, Uint8Array.of(42))
  const item = hold(there, there.access, 0)
  const child: Program = { ...there, process: there.process.fork() }
  there.process.exit()
  expect(there.machine.pinnedFrames).toBe(1)
  expect(hold(child, there.access, 0)).toBe(item + 1)
  const { answer } = testOp(child, IOMMU_TEST_OP_ACCESS_PAGES, {
    id: there.access,
    access_pages_iova: IOVA + PAGE,
    access_pages_length: PAGE,
  })
  expect(answer).toBe('EFAULT USER_PAGES_BAD')
  child.process.exit()
  expect([there.machine.pinnedFrames, there.machine.framesInUse]).toEqual([0, 0])
})
