// SPDX-License-Identifier: Apache-2.0
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ, PROT_WRITE } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { DATA, PAGE } from '../test/harness.js'
import { answersOf, FAULT_SIZE, IopfWorld, type Queue } from '../test/iopf-world.js'
import type { IommufdDevice } from './index.js'

/** Two pages of which only the first can be written. */
const EDGE = 0x1_2000_0000
const NOWHERE = 0x1000

class Scene {
  readonly world: IopfWorld = new IopfWorld()
  readonly idev: IommufdDevice = this.world.asker('a')
  readonly queue: Queue = this.world.queue()
  readonly fd: number = this.queue.fd

  constructor() {
    this.idev.attach(this.world.table(this.idev, this.queue))
  }

  /** One group for each length, numbered from 1. */
  groups(...lengths: number[]): this {
    for (const [i, length] of lengths.entries()) {
      for (let page = 1; page <= length; page++) {
        this.world.report(this.idev, { grpid: i + 1, lastPage: page === length })
      }
    }
    return this
  }

  /** Memory whose last `bytes` bytes before an unwritable page begin where this says. */
  before(bytes: number): number {
    const { process } = this.world
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    process.mmap(EDGE, 2 * PAGE, PROT_READ | PROT_WRITE, flags)
    process.mprotect(EDGE + PAGE, PAGE, PROT_READ)
    return EDGE + PAGE - bytes
  }
}

describe('L7: reading faults', () => {
  test('a record has everything that the device said, and where the answer goes', () => {
    const { world, idev, fd } = new Scene()
    const addr = 0xfedc_ba98_7654_3210n
    world.report(idev, { grpid: 0xffffffff, perm: 0xf, addr })
    expect(world.faults(fd)).toEqual([
      {
        flags: 2,
        dev_id: idev.id,
        pasid: 0,
        grpid: 0xffffffff,
        perm: 0xf,
        __reserved: 0,
        addr,
        length: 0,
        cookie: 1,
      },
    ])
  })

  test.each([
    [0, 'EINVAL FAULT_GROUP_TOO_LARGE'],
    [1, 'EINVAL FAULT_GROUP_TOO_LARGE'],
    [2, 2],
    [3, 3],
    [4, 3],
    [5, 3],
    [6, 6],
    [9, 6],
  ])('of groups of 2, 1 and 3 a buffer for %i faults gets %s: whole groups', (count, answer) => {
    const { world, fd } = new Scene().groups(2, 1, 3)
    const expected = typeof answer === 'string' ? answer : answer * FAULT_SIZE
    expect(world.read(fd, count * FAULT_SIZE)).toBe(expected)
    const rest = typeof answer === 'string' ? 6 : 6 - answer
    expect(world.faults(fd)).toHaveLength(rest)
  })

  test('EINVAL says how large a buffer must be', () => {
    const { world, fd } = new Scene().groups(3)
    world.read(fd, 2 * FAULT_SIZE)
    world.process.read(fd, DATA, 2 * FAULT_SIZE)
    expect(world.engine.refusals.last?.sentence).toBe(
      'the first group of faults has 120 bytes, more than the buffer',
    )
  })

  test('poll says whether there is something to read', () => {
    const { world, idev, queue, fd } = new Scene()
    expect(world.isReadable(queue)).toBe(false)
    world.report(idev, { lastPage: false })
    expect(world.isReadable(queue)).toBe(false)
    world.report(idev, {})
    expect(world.isReadable(queue)).toBe(true)
    world.faults(fd)
    expect(world.isReadable(queue)).toBe(false)
    world.report(idev, {})
    expect(world.isReadable(queue)).toBe(true)
    idev.detach()
    expect(world.isReadable(queue)).toBe(false)
  })

  test('memory that cannot be written: the first group stays, and has no cookie', () => {
    const { world, fd } = new Scene().groups(1, 1)
    expect(world.read(fd, 2 * FAULT_SIZE, NOWHERE)).toBe('EFAULT USER_UNWRITABLE')
    expect(world.faults(fd)).toMatchObject([
      { grpid: 1, cookie: 1 },
      { grpid: 2, cookie: 2 },
    ])
  })

  test('memory that ends after a group: that one is read, the next is whole in the queue', () => {
    const scene = new Scene().groups(1, 2, 1)
    const { world, fd } = scene
    const at = scene.before(2 * FAULT_SIZE)
    expect(world.read(fd, 4 * FAULT_SIZE, at)).toBe(FAULT_SIZE)
    expect(world.faults(fd).map(({ grpid, cookie }) => [grpid, cookie])).toEqual([
      [2, 2],
      [2, 2],
      [3, 3],
    ])
  })

  test('every fault point leaves the groups queued; then they are read', () => {
    const { world, fd } = new Scene().groups(2, 1)
    const { faults } = world.engine
    const outcomes: (number | string)[] = []
    for (let n = 1; ; n++) {
      faults.arm(n)
      outcomes.push(world.read(fd, 3 * FAULT_SIZE))
      const { fired } = faults
      faults.disarm()
      if (!fired || outcomes.length === 3) break
    }
    // The third point is the second group's memory: the first has been read by then.
    expect(outcomes).toEqual(['ENOMEM INJECTED_ENOMEM', 'EFAULT INJECTED_EFAULT', 2 * FAULT_SIZE])
    expect(world.faults(fd)).toMatchObject([{ grpid: 2, cookie: 2 }])
  })
})

describe('L7: answering faults', () => {
  test('a cookie is good for one answer, which reaches the device', () => {
    const { world, idev, fd } = new Scene().groups(1, 1, 1)
    world.faults(fd)
    expect(world.respond(fd, [3, 1], [1, 0])).toBe(16)
    expect(answersOf(idev)).toEqual(['3:1', '1:0'])
    expect(world.respond(fd, [3, 0])).toBe('EINVAL FAULT_RESPONSE_COOKIE')
    expect(world.respond(fd, [2, 0])).toBe(8)
    expect(answersOf(idev)).toEqual(['2:0'])
  })

  test('the lowest free cookie is given, from 1, and never 0', () => {
    const { world, fd } = new Scene().groups(1, 1, 1)
    expect(world.faults(fd, 2).map(({ cookie }) => cookie)).toEqual([1, 2])
    expect(world.respond(fd, [0, 0])).toBe('EINVAL FAULT_RESPONSE_COOKIE')
    world.respond(fd, [1, 0])
    expect(world.faults(fd).map(({ grpid, cookie }) => [grpid, cookie])).toEqual([[3, 1]])
  })

  test('a group must be read before it is answered, and in its own queue', () => {
    const { world, idev, fd } = new Scene().groups(1)
    const other = world.queue()
    expect(world.respond(fd, [1, 0])).toBe('EINVAL FAULT_RESPONSE_COOKIE')
    world.faults(fd)
    expect(world.respond(other.fd, [1, 0])).toBe('EINVAL FAULT_RESPONSE_COOKIE')
    expect(world.respond(fd, [1, 0])).toBe(8)
    expect(answersOf(idev)).toEqual(['1:0'])
  })

  test.each([
    ['cookie', [9, 0], 'EINVAL FAULT_RESPONSE_COOKIE'],
    ['code', [2, 2], 'EINVAL FAULT_RESPONSE_CODE'],
  ] as const)('a wrong %s ends the write: what came before is done and counted', (_, bad, why) => {
    const { world, idev, fd } = new Scene().groups(1, 1, 1)
    world.faults(fd)
    expect(world.respond(fd, [1, 0], bad, [3, 0])).toBe(8)
    expect(answersOf(idev)).toEqual(['1:0'])
    expect(world.respond(fd, bad, [3, 0])).toBe(why)
    expect(answersOf(idev)).toEqual([])
    expect(world.respond(fd, [2, 1], [3, 0])).toBe(16)
  })

  test('responses that cannot be read end the write likewise', () => {
    const scene = new Scene().groups(1, 1)
    const { world, idev, fd } = scene
    world.faults(fd)
    const at = scene.before(8)
    world.process.munmap(EDGE + PAGE, PAGE)
    world.process.store(at, Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0))
    expect(world.process.write(fd, at, 16)).toBe(8)
    expect(answersOf(idev)).toEqual(['1:0'])
  })

  test('every fault point leaves what it reached unanswered', () => {
    const { world, idev, fd } = new Scene().groups(1, 1)
    world.faults(fd)
    const { faults } = world.engine
    faults.arm(1)
    expect(world.respond(fd, [1, 0], [2, 0])).toBe('EFAULT INJECTED_EFAULT')
    faults.arm(2)
    expect(world.respond(fd, [1, 0], [2, 0])).toBe(8)
    faults.disarm()
    expect(answersOf(idev)).toEqual(['1:0'])
    expect(world.respond(fd, [2, 0])).toBe(8)
  })

  test('an answer after the hardware has given up reaches nobody', () => {
    const { world, idev, fd } = new Scene().groups(1)
    world.faults(fd)
    // The device leaves behind the back of iommufd, as when it is reset.
    const { iopf } = idev.dev
    iopf?.disable()
    expect(answersOf(idev)).toEqual(['1:1'])
    expect(world.respond(fd, [1, 0])).toBe(8)
    expect(answersOf(idev)).toEqual([])
  })
})
