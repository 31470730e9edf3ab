// SPDX-License-Identifier: Apache-2.0
import { IOMMU_HWPT_ALLOC_NEST_PARENT, IOMMU_HWPT_FAULT_ID_VALID } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { DATA } from '../test/harness.js'
import { answersOf, IopfWorld, type Queue } from '../test/iopf-world.js'
import type { ToyDevice } from '../test/toy-driver.js'
import {
  IOMMU_PAGE_RESP_FAILURE as FAILURE,
  IOMMU_PAGE_RESP_INVALID as INVALID,
  type IommufdDevice,
} from './index.js'

interface Scene {
  readonly world: IopfWorld
  readonly idev: IommufdDevice
  readonly queue: Queue
  /** Attached, with the queue. */
  readonly table: number
}

function attached(): Scene {
  const world = new IopfWorld()
  const idev = world.asker('a')
  const queue = world.queue()
  const table = world.table(idev, queue)
  expect(idev.attach(table)).toBe(table)
  return { world, idev, queue, table }
}

const grpids = ({ world, queue }: Scene): number[] =>
  world.faults(queue.fd).map(({ grpid }) => grpid)

describe('section 8, IOPF: groups', () => {
  test('a group is told when its last page has come, newest first before the last page', () => {
    const { world, idev, queue } = attached()
    for (const addr of [1n, 2n, 3n]) world.report(idev, { grpid: 5, addr, lastPage: false })
    expect(world.isReadable(queue)).toBe(false)
    world.report(idev, { grpid: 5, addr: 4n })
    const faults = world.faults(queue.fd)
    expect(faults.map(({ addr }) => addr)).toEqual([3n, 2n, 1n, 4n])
    expect(faults.map(({ flags }) => flags)).toEqual([0, 0, 0, 2])
    expect(faults.map(({ cookie }) => cookie)).toEqual([1, 1, 1, 1])
    expect(answersOf(idev)).toEqual([])
    expect(world.respond(queue.fd, [1, 0])).toBe(8)
    expect(answersOf(idev)).toEqual(['5:0'])
  })

  test('groups under way do not mix, nor do devices', () => {
    const { world, idev, queue, table } = attached()
    const other = world.asker('b')
    other.attach(table)
    world.report(idev, { grpid: 1, addr: 1n, lastPage: false })
    world.report(idev, { grpid: 2, addr: 2n, lastPage: false })
    world.report(other, { grpid: 2, addr: 3n })
    world.report(idev, { grpid: 2, addr: 4n })
    world.report(idev, { grpid: 1, addr: 5n })
    const faults = world.faults(queue.fd)
    expect(faults.map(({ dev_id, grpid, addr }) => [dev_id, grpid, addr])).toEqual([
      [other.id, 2, 3n],
      [idev.id, 2, 2n],
      [idev.id, 2, 4n],
      [idev.id, 1, 1n],
      [idev.id, 1, 5n],
    ])
  })

  test('incomplete groups are forgotten when the hardware has lost requests', () => {
    const { world, idev, queue } = attached()
    world.report(idev, { addr: 1n, lastPage: false })
    world.driver.iopfQueue.discardPartial()
    world.report(idev, { addr: 2n })
    expect(world.faults(queue.fd).map(({ addr }) => addr)).toEqual([2n])
  })

  test('incomplete groups are forgotten when the device has no table that handles them', () => {
    const { world, idev, queue, table } = attached()
    world.report(idev, { addr: 1n, lastPage: false })
    idev.detach()
    world.driver.iopfQueue.discardPartial()
    idev.attach(table)
    world.report(idev, { addr: 2n })
    expect(world.faults(queue.fd).map(({ addr }) => addr)).toEqual([2n])
  })
})

describe('section 8, IOPF: to whom requests go', () => {
  test('without a table that handles them the last page is answered at once', () => {
    const { world, idev, table } = attached()
    idev.detach()
    expect(world.report(idev, { lastPage: false })).toBe('EINVAL FAULT_UNHANDLED')
    expect(answersOf(idev)).toEqual([])
    expect(world.report(idev, { grpid: 7 })).toBe('EINVAL FAULT_UNHANDLED')
    expect(answersOf(idev)).toEqual([`7:${INVALID}`])
    idev.attach(world.table(idev))
    expect(world.report(idev, { grpid: 8 })).toBe('EINVAL FAULT_UNHANDLED')
    expect(answersOf(idev)).toEqual([`8:${INVALID}`])
    expect(world.destroy(table)).toBe('ok')
  })

  test('a PASID goes to its own table, and to none when it is not attached', () => {
    const { world, idev, queue } = attached()
    const other = world.queue()
    // Tables of PASIDs are a guest's; this device has none.
    world.driver.userPasidTable = true
    idev.attach(world.table(idev, other), 3)
    world.report(idev, { grpid: 1 })
    world.report(idev, { grpid: 2, pasid: 3 })
    expect(world.report(idev, { grpid: 3, pasid: 4 })).toBe('EINVAL FAULT_UNHANDLED')
    const told = [queue, other].map(({ fd }) => world.faults(fd))
    expect(told).toMatchObject([[{ grpid: 1, pasid: 0, flags: 2 }], [{ grpid: 2, pasid: 3 }]])
    expect(told[1]?.[0]?.flags).toBe(3)
    expect(answersOf(idev)).toEqual([`3:${INVALID}`])
  })

  test('a PASID can have a fault queue where the device itself has none', () => {
    const { world, idev, queue } = attached()
    idev.replace(world.table(idev))
    idev.attach(world.table(idev, queue), 3)
    expect(world.report(idev, {})).toBe('EINVAL FAULT_UNHANDLED')
    expect(world.report(idev, { pasid: 3 })).toBe('ok')
    idev.detach(3)
    expect(world.report(idev, { pasid: 3 })).toBe('EINVAL FAULT_UNHANDLED')
  })

  test.each([true, false])('PASIDs of a guest go to its table, when it has them: %s', (has) => {
    const { world, idev, queue } = attached()
    world.driver.userPasidTable = has
    const flags = IOMMU_HWPT_ALLOC_NEST_PARENT
    const parent = world.hwptAlloc({ dev_id: idev.id, pt_id: world.pt, flags }) as number
    const values = { dev_id: idev.id, pt_id: parent, data_type: 1, data_len: 4, data_uptr: DATA }
    const faults = { flags: IOMMU_HWPT_FAULT_ID_VALID, fault_id: queue.id }
    idev.replace(world.hwptAlloc({ ...values, ...faults }) as number)
    expect(world.report(idev, { pasid: 5 })).toBe(has ? 'ok' : 'EINVAL FAULT_UNHANDLED')
    expect(world.faults(queue.fd)).toMatchObject(has ? [{ pasid: 5, flags: 3 }] : [])
    // It belongs to the attachment without a PASID, and ends with that.
    idev.detach()
    expect(answersOf(idev)).toEqual([`1:${INVALID}`])
  })

  test('each group of a device that only shares the IOMMU group is given up', () => {
    const { world, idev, table } = attached()
    const [a, b] = ['c', 'd'].map((name) => world.asker(name, { group: 'g' })) as [
      IommufdDevice,
      IommufdDevice,
    ]
    a.attach(table)
    expect(world.report(b, {})).toBe('ok')
    expect(answersOf(b)).toEqual([`1:${FAILURE}`])
    b.attach(table)
    expect(world.report(b, {})).toBe('ok')
    expect(answersOf(b)).toEqual([])
    expect(answersOf(idev)).toEqual([])
  })

  test('a driver that hides a domain from its queue is told so', () => {
    const { world, idev } = attached()
    idev.detach()
    ;(idev.dev as ToyDevice).iopfQueue = undefined
    idev.attach(world.table(idev, world.queue()))
    expect(world.report(idev, {})).toBe('EINVAL FAULT_UNHANDLED')
    expect(answersOf(idev)).toEqual([`1:${INVALID}`])
    expect(world.warnings).toEqual([
      'a uses a domain that handles page faults, unknown to its IOPF queue',
    ])
  })

  test('a device without an IOMMU cannot report', () => {
    const { world, idev } = attached()
    idev.detach()
    idev.unbind()
    world.iommu.removeDevice(idev.dev)
    expect(() => world.report(idev, {})).toThrow('a has no IOMMU to report faults to')
  })
})

describe('section 8, L7: who leaves takes the faults along', () => {
  const leaving: Record<string, (scene: Scene) => void> = {
    detach: ({ idev }) => idev.detach(),
    'replace by a table without a queue': ({ world, idev }) => {
      idev.replace(world.table(idev))
    },
    'replace by a table of the same queue': ({ world, idev, queue }) => {
      idev.replace(world.table(idev, queue))
    },
    'replace by a table of another queue': ({ world, idev }) => {
      idev.replace(world.table(idev, world.queue()))
    },
    'replace by an IOAS': ({ world, idev }) => {
      idev.replace(world.pt)
    },
  }

  test.each(Object.entries(leaving))('%s: queued and delivered ones are INVALID', (_, leave) => {
    const scene = attached()
    const { world, idev, queue } = scene
    const stays = world.asker('b')
    stays.attach(world.table(stays, queue))
    world.report(idev, { grpid: 1 })
    world.report(stays, { grpid: 2 })
    expect(world.faults(queue.fd).map(({ cookie }) => cookie)).toEqual([1, 2])
    world.report(idev, { grpid: 3 })
    world.report(stays, { grpid: 4 })
    leave(scene)
    expect(answersOf(idev).sort()).toEqual([`1:${INVALID}`, `3:${INVALID}`])
    expect(world.respond(queue.fd, [1, 0])).toBe('EINVAL FAULT_RESPONSE_COOKIE')
    // The other's are still there, and the free cookie is used again.
    expect(world.faults(queue.fd)).toMatchObject([{ grpid: 4, cookie: 1 }])
    expect(world.respond(queue.fd, [2, 0], [1, 1])).toBe(16)
    expect(answersOf(stays)).toEqual(['2:0', '4:1'])
    expect(world.warnings).toEqual([])
  })

  test('a PASID takes its own along, and no others', () => {
    const scene = attached()
    const { world, idev, queue, table } = scene
    idev.attach(table, 3)
    world.report(idev, { grpid: 1 })
    world.report(idev, { grpid: 2, pasid: 3 })
    idev.detach(3)
    expect(answersOf(idev)).toEqual([`2:${INVALID}`])
    expect(grpids(scene)).toEqual([1])
    expect(world.isReadable(queue)).toBe(false)
  })

  test('one device of a group that leaves takes its own along', () => {
    const { world, queue, table } = attached()
    const [a, b] = ['c', 'd'].map((name) => world.asker(name, { group: 'g' })) as [
      IommufdDevice,
      IommufdDevice,
    ]
    a.attach(table)
    b.attach(table)
    world.report(a, { grpid: 1 })
    world.report(b, { grpid: 2 })
    a.detach()
    expect(answersOf(a)).toEqual([`1:${INVALID}`])
    expect(world.faults(queue.fd)).toMatchObject([{ grpid: 2, dev_id: b.id }])
    b.replace(world.pt)
    expect(answersOf(b)).toEqual([`2:${INVALID}`])
  })

  test('a refused replacement leaves faults as they are', () => {
    const scene = attached()
    const { world, idev } = scene
    world.report(idev, { grpid: 1 })
    const next = world.table(idev, world.queue())
    ;(idev.dev as ToyDevice).accepts = () => -22
    expect(idev.replace(next)).toBe(-22)
    ;(idev.dev as ToyDevice).accepts = () => 0
    expect(answersOf(idev)).toEqual([])
    expect(grpids(scene)).toEqual([1])
  })

  test('a group whose second device refuses: the first goes back and reports again', () => {
    const { world, queue, table } = attached()
    const [a, b] = ['c', 'd'].map((name) => world.asker(name, { group: 'g' })) as [
      IommufdDevice,
      IommufdDevice,
    ]
    a.attach(table)
    ;(b.dev as ToyDevice).accepts = () => -22
    expect(a.replace(world.table(a))).toBe(-22)
    ;(b.dev as ToyDevice).accepts = () => 0
    expect(world.report(a, { grpid: 6 })).toBe('ok')
    expect(world.faults(queue.fd)).toMatchObject([{ grpid: 6 }])
    a.detach()
    expect(answersOf(a)).toEqual([`6:${INVALID}`])
    expect(world.warnings).toEqual([])
  })

  test('with the queue’s file closed faults wait until the device leaves', () => {
    const { world, idev, queue, table } = attached()
    world.report(idev, {})
    world.process.close(queue.fd)
    world.report(idev, { grpid: 2 })
    expect(world.destroy(queue.id)).toBe('EBUSY OBJECT_BUSY')
    idev.detach()
    expect(answersOf(idev)).toEqual([`1:${INVALID}`, `2:${INVALID}`])
    expect(world.destroy(table)).toBe('ok')
    expect(world.destroy(queue.id)).toBe('ok')
  })

  test('detaching and unbinding pass no fault point', () => {
    const { world, idev, queue, table } = attached()
    idev.attach(table, 2)
    for (const pasid of [undefined, 2]) world.report(idev, { pasid })
    world.faults(queue.fd, 1)
    world.engine.faults.arm(1)
    idev.detach(2)
    idev.detach()
    idev.unbind()
    expect(world.engine.faults.fired).toBe(false)
    expect(answersOf(idev)).toEqual([`1:${INVALID}`, `1:${INVALID}`])
  })
})

describe('E10: a virtual function that shares its page requests', () => {
  const setUp = (): { world: IopfWorld; vf: IommufdDevice; table: number; before: unknown } => {
    const world = new IopfWorld()
    const vf = world.asker('vf', { sharesPri: true })
    const table = world.table(vf, world.queue())
    return { world, vf, table, before: world.state() }
  }

  test('has no table with a fault queue, by attaching or replacing, with or without a PASID', () => {
    const { world, vf, table, before } = setUp()
    expect(world.outcome(vf.attach(table))).toBe('EINVAL FAULT_HWPT_FOR_VF')
    expect(world.state()).toEqual(before)
    vf.attach(world.table(vf))
    const attachedTo = world.state()
    expect(world.outcome(vf.replace(table))).toBe('EINVAL FAULT_HWPT_FOR_VF')
    expect(world.outcome(vf.attach(table, 1))).toBe('EINVAL FAULT_HWPT_FOR_VF')
    expect(world.state()).toEqual(attachedTo)
  })
})

describe('fault points of reports', () => {
  test('a request is lost for want of memory, and the group comes without it', () => {
    const { world, idev, queue } = attached()
    const { faults } = world.engine
    faults.arm(1)
    expect(world.report(idev, { addr: 1n, lastPage: false })).toBe('ENOMEM INJECTED_ENOMEM')
    faults.disarm()
    world.report(idev, { addr: 2n })
    expect(world.faults(queue.fd).map(({ addr }) => addr)).toEqual([2n])
  })

  test('a group for which there is no memory is given up, with what came before', () => {
    const { world, idev, queue } = attached()
    world.report(idev, { addr: 1n, lastPage: false })
    const { faults } = world.engine
    faults.arm(1)
    expect(world.report(idev, { addr: 2n })).toBe('ok')
    expect(faults.fired).toBe(true)
    faults.disarm()
    expect(answersOf(idev)).toEqual([`1:${FAILURE}`])
    expect(world.isReadable(queue)).toBe(false)
    world.report(idev, { addr: 3n })
    expect(world.faults(queue.fd).map(({ addr }) => addr)).toEqual([3n])
  })

  test('each of an attach to a table with a queue leaves everything as before', () => {
    const world = new IopfWorld()
    const idev = world.asker('a')
    const table = world.table(idev, world.queue())
    const before = world.state()
    const { faults } = world.engine
    for (let n = 1; ; n++) {
      faults.arm(n)
      const rc = idev.attach(table)
      const { fired } = faults
      faults.disarm()
      if (!fired) {
        expect([rc, n]).toEqual([table, 4])
        break
      }
      expect(rc).toBe(-12)
      expect(world.state()).toEqual(before)
      expect(world.report(idev, {})).toBe('EINVAL FAULT_UNHANDLED')
    }
    expect(world.report(idev, {})).toBe('ok')
  })

  test.each([0, 3])('each of a replace, PASID %i, leaves what is outstanding', (pasid) => {
    const scene = attached()
    const { world, idev, queue } = scene
    if (pasid !== 0) idev.attach(world.table(idev, queue), pasid)
    const request = { pasid: pasid || undefined }
    world.report(idev, request)
    world.report(idev, { ...request, grpid: 2 })
    world.faults(queue.fd, 1)
    const next = world.table(idev, world.queue())
    const before = world.state()
    const { faults } = world.engine
    for (let n = 1; ; n++) {
      faults.arm(n)
      const rc = idev.replace(next, pasid)
      const { fired } = faults
      faults.disarm()
      if (!fired) {
        expect([rc, n]).toEqual([next, 2])
        break
      }
      expect(rc).toBe(-12)
      expect(world.state()).toEqual(before)
      expect([answersOf(idev), world.isReadable(queue)]).toEqual([[], true])
    }
    expect(answersOf(idev).sort()).toEqual([`1:${INVALID}`, `2:${INVALID}`])
    expect(world.isReadable(queue)).toBe(false)
  })
})
