// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from 'vitest'
import { PAGE, World } from '../test/harness.js'
import { ToyDevice } from '../test/toy-driver.js'
import {
  type AttachableDomain,
  domainTraits,
  IOMMU_NO_PASID,
  type IommufdDevice,
  iommufd_ctx_has_group,
  iommufd_device_attach,
  iommufd_device_bind,
  iommufd_device_detach,
  iommufd_device_replace,
  iommufd_device_to_ictx,
  iommufd_device_to_id,
  iommufd_device_unbind,
} from './index.js'

const attach = (idev: IommufdDevice, id: number): number =>
  iommufd_device_attach(idev, IOMMU_NO_PASID, id)
const replace = (idev: IommufdDevice, id: number): number =>
  iommufd_device_replace(idev, IOMMU_NO_PASID, id)
const detach = (idev: IommufdDevice): void => iommufd_device_detach(idev, IOMMU_NO_PASID)

describe('section 5: binding', () => {
  test('a bound device has an id, is busy, and its group belongs to the context', () => {
    const world = new World()
    const dev = world.device('a')
    expect(dev.current?.type).toBe('identity')
    const idev = world.bind(dev)
    expect(iommufd_device_to_id(idev)).toBe(1)
    expect(iommufd_device_to_ictx(idev)).toBe(world.ctx)
    expect(iommufd_ctx_has_group(world.ctx, idev.igroup.group)).toBe(true)
    expect(iommufd_ctx_has_group(world.otherCtx(), idev.igroup.group)).toBe(false)
    expect(dev.current?.type).toBe('blocked')
    expect(world.destroy(1)).toBe('EBUSY OBJECT_BUSY')
    iommufd_device_unbind(idev)
    expect(dev.current?.type).toBe('identity')
    expect(world.destroy(1)).toBe('ENOENT OBJECT_UNKNOWN')
  })

  test.each([
    ['EINVAL DEVICE_NOT_COHERENT', { coherent: false }],
    ['EPERM INTERRUPTS_NOT_ISOLATED', { isolatedMsi: false }],
  ])('%s', (outcome, options) => {
    const world = new World()
    const rc = iommufd_device_bind(world.ctx, world.device('a', options)) as number
    expect(world.outcome(rc)).toBe(outcome)
    expect(world.ctx.objects.isEmpty).toBe(true)
  })

  test('a device that no driver serves has no group: ENODEV', () => {
    const world = new World()
    const rc = iommufd_device_bind(world.ctx, new ToyDevice('a')) as number
    expect(world.outcome(rc)).toBe('ENODEV DEVICE_WITHOUT_IOMMU')
  })

  test('the interrupts of every device of the group count, unless unsafe ones are allowed', () => {
    const strict = new World()
    const good = strict.device('a', { group: 'g' })
    strict.device('b', { group: 'g', isolatedMsi: false })
    const rc = iommufd_device_bind(strict.ctx, good) as number
    expect(strict.outcome(rc)).toBe('EPERM INTERRUPTS_NOT_ISOLATED')
    const lax = new World({ allowUnsafeInterrupts: true })
    expect(lax.bind(lax.device('b', { isolatedMsi: false })).id).toBe(1)
  })

  test('another context, or a driver of the host, has the group: EBUSY', () => {
    const world = new World()
    const [a, b] = [world.device('a', { group: 'g' }), world.device('b', { group: 'g' })]
    const idev = world.bind(a)
    const rc = iommufd_device_bind(world.otherCtx(), b) as number
    expect(world.outcome(rc)).toBe('EBUSY GROUP_OWNED')
    const { group } = idev.igroup
    expect(world.outcome(group.useDefaultDomain())).toBe('EBUSY GROUP_OWNED')
    const second = world.bind(b)
    iommufd_device_unbind(idev)
    expect(group.owner).toBe(second.igroup)
    iommufd_device_unbind(second)
    expect(group.owner).toBeUndefined()
    world.engine.refusals.clear()
    expect(world.outcome(group.useDefaultDomain())).toBe('ok')
    const used = iommufd_device_bind(world.ctx, a) as number
    expect(world.outcome(used)).toBe('EBUSY GROUP_USED_BY_HOST')
    group.unuseDefaultDomain()
    expect(world.bind(a).id).toBe(1)
  })

  test('a bound device keeps its context', () => {
    const world = new World()
    const idev = world.bind(world.device('a'))
    const { ctx } = world
    world.close()
    expect(ctx.released).toBe(false)
    iommufd_device_unbind(idev)
    expect(ctx.released).toBe(true)
  })

  test('unbinding an attached device: a warning, and it is done', () => {
    const world = new World()
    const idev = world.bind(world.device('a'))
    detach(idev)
    expect(attach(idev, world.ioas().id)).toBeGreaterThan(0)
    iommufd_device_unbind(idev)
    expect(world.warnings).toEqual(['a is unbound while it is attached'])
    expect(world.state()).toMatchObject({ objects: [{ type: 'IOAS', users: 0 }] })
  })
})

describe('E11: attaching to an IOAS', () => {
  test('makes a table, which the next device shares and the last one ends', () => {
    const world = new World()
    const ioas = world.ioas()
    expect(world.map(ioas, 0x10000, 4)).toBe('ok')
    const [a, b] = [world.bind(world.device('a')), world.bind(world.device('b'))]
    const id = attach(a, ioas.id)
    expect(attach(b, ioas.id)).toBe(id)
    const [domain] = world.driver.domains
    expect(domain?.entries.size).toBe(4)
    expect(world.machine.pinnedFrames).toBe(4)
    expect(world.destroy(id)).toBe('EBUSY OBJECT_BUSY')
    expect(world.destroy(ioas.id)).toBe('EBUSY OBJECT_BUSY')
    detach(a)
    expect(domain?.isFree).toBe(false)
    detach(b)
    expect(domain?.isFree).toBe(true)
    expect(world.machine.pinnedFrames).toBe(0)
    expect(world.destroy(ioas.id)).toBe('ok')
  })

  test('a table that does not fit is passed over, another error ends the search', () => {
    const world = new World()
    const ioas = world.ioas()
    const [a, b] = [world.bind(world.device('a')), world.bind(world.device('b'))]
    const first = attach(a, ioas.id)
    const device = b.dev as ToyDevice
    device.accepts = (domain) => (domain === world.driver.domains[0] ? -22 : 0)
    const second = attach(b, ioas.id)
    expect(second).not.toBe(first)
    expect(world.outcome(second)).toBe('ok')
    expect(ioas.iopt.domains).toHaveLength(2)
    detach(b)
    device.accepts = (domain) => (domain === world.driver.domains[0] ? -5 : 0)
    expect(world.outcome(attach(b, ioas.id))).toBe('EIO DRIVER_REFUSED')
    expect(world.engine.refusals.last?.sentence).toContain('driver toy')
    expect(ioas.iopt.domains).toHaveLength(1)
  })

  test('a table made by IOMMU_HWPT_ALLOC is not chosen automatically', () => {
    const world = new World()
    const ioas = world.ioas()
    const idev = world.bind(world.device('a'))
    const made = world.hwptAlloc({ dev_id: idev.id, pt_id: ioas.id }) as number
    const id = attach(idev, ioas.id)
    expect(id).not.toBe(made)
    detach(idev)
    expect(attach(idev, made)).toBe(made)
    detach(idev)
    expect(world.destroy(made)).toBe('ok')
  })
})

describe('E8: groups', () => {
  test('the devices of a group use one table; each is attached once', () => {
    const world = new World()
    const [first, second] = [world.ioas(), world.ioas()]
    const a = world.bind(world.device('a', { group: 'g' }))
    const b = world.bind(world.device('b', { group: 'g' }))
    const id = attach(a, first.id)
    expect(world.outcome(attach(a, first.id))).toBe('EBUSY DEVICE_ATTACHED_ALREADY')
    const before = world.state()
    expect(world.outcome(attach(b, second.id))).toBe('EINVAL GROUP_HAS_OTHER_HWPT')
    expect(world.state()).toEqual(before)
    expect(attach(b, id)).toBe(id)
    detach(a)
    expect((b.dev as ToyDevice).current).toBe(world.driver.domains[0])
    detach(b)
    expect((a.dev as ToyDevice).current?.type).toBe('blocked')
  })

  test('ids that name nothing, or nothing to attach to', () => {
    const world = new World()
    const idev = world.bind(world.device('a'))
    expect(world.outcome(attach(idev, 77))).toBe('ENOENT PT_UNKNOWN')
    expect(world.outcome(attach(idev, idev.id))).toBe('EINVAL OBJECT_NOT_ATTACHABLE')
  })
})

describe('E10: replacing', () => {
  test('moves every attached device of the group, and ends the table that nobody uses', () => {
    const world = new World()
    const [first, second] = [world.ioas(), world.ioas()]
    world.map(first, 0, 2)
    world.map(second, 0, 3)
    const a = world.bind(world.device('a', { group: 'g' }))
    const b = world.bind(world.device('b', { group: 'g' }))
    attach(a, first.id)
    attach(b, first.id)
    const id = replace(a, second.id)
    expect(world.hwpt(id).users).toBe(2)
    expect(first.iopt.domains).toHaveLength(0)
    expect((b.dev as ToyDevice).current).toBe(world.hwpt(id).domain)
    expect(world.machine.pinnedFrames).toBe(3)
    expect(replace(a, second.id)).toBe(id)
    expect(world.hwpt(id).users).toBe(2)
  })

  test('a table by itself: the hardware is left alone', () => {
    const world = new World()
    const a = world.bind(world.device('a'))
    const id = attach(a, world.ioas().id)
    ;(a.dev as ToyDevice).accepts = () => -5
    expect(replace(a, id)).toBe(id)
    expect(world.hwpt(id).users).toBe(1)
  })

  test('without an attached device there is nothing to replace', () => {
    const world = new World()
    const ioas = world.ioas()
    const a = world.bind(world.device('a', { group: 'g' }))
    const b = world.bind(world.device('b', { group: 'g' }))
    const before = world.state()
    expect(world.outcome(replace(a, ioas.id))).toBe('EINVAL DEVICE_NOT_ATTACHED')
    expect(world.state()).toEqual(before)
    const id = attach(a, ioas.id)
    expect(world.outcome(replace(b, id))).toBe('EINVAL DEVICE_NOT_ATTACHED')
  })

  test.each([0, 1, 2])('device %i of three refuses: those before it go back, in reverse', (nth) => {
    const world = new World()
    const [first, second] = [world.ioas(), world.ioas()]
    const bound = ['a', 'b', 'c'].map((name) => world.bind(world.device(name, { group: 'g' })))
    const [a] = bound as [IommufdDevice]
    const log: string[] = []
    const refuse = (isRefused: (domain: AttachableDomain) => boolean): void => {
      for (const [i, { dev }] of bound.entries()) {
        ;(dev as ToyDevice).accepts = (domain) => {
          log.push(`${dev.name} ${isRefused(domain) ? 'new' : 'old'}`)
          return i === nth && isRefused(domain) ? -5 : 0
        }
      }
    }
    const tried = ['a new', 'b new', 'c new'].slice(0, nth + 1)
    const undone = ['b old', 'a old'].slice(2 - nth)
    refuse(({ type }) => type === 'paging')
    const before = world.state()
    expect(world.outcome(attach(a, first.id))).toBe('EIO DRIVER_REFUSED')
    expect(log).toEqual([...tried, ...undone])
    expect(world.state()).toEqual(before)
    refuse(() => false)
    for (const idev of bound) attach(idev, first.id)
    const attached = world.state()
    const { domain } = world.hwpt(a.igroup.hwpt(IOMMU_NO_PASID)?.id ?? 0)
    refuse((wanted) => wanted !== domain)
    log.length = 0
    expect(world.outcome(replace(a, second.id))).toBe('EIO DRIVER_REFUSED')
    expect(log).toEqual([...tried, ...undone])
    expect(world.state()).toEqual(attached)
    expect(world.warnings).toEqual([])
  })

  test('one device of the group refuses: all stay where they were', () => {
    const world = new World()
    const [first, second] = [world.ioas(), world.ioas()]
    const a = world.bind(world.device('a', { group: 'g' }))
    const b = world.bind(world.device('b', { group: 'g' }))
    attach(a, first.id)
    attach(b, first.id)
    const [old] = world.driver.domains
    const device = b.dev as ToyDevice
    device.accepts = (domain) => (domain === old ? 0 : -5)
    const before = world.state()
    expect(world.outcome(replace(a, second.id))).toBe('EIO DRIVER_REFUSED')
    expect(world.state()).toEqual(before)
    expect((a.dev as ToyDevice).current).toBe(old)
    expect(device.current).toBe(old)
    expect(world.driver.domains[1]?.isFree).toBe(true)
    expect(world.warnings).toEqual([])
  })
})

test('section 8: coherency is enforced for devices whose IOMMU can, before anything is mapped', () => {
  const world = new World()
  const ioas = world.ioas()
  world.map(ioas, 0, 1)
  const id = attach(world.bind(world.device('a', { enforces: true })), ioas.id)
  expect(domainTraits(world.hwpt(id).view)).toEqual({
    pageSizesHi: 0,
    pageSizesLo: PAGE,
    enforcesCacheCoherency: true,
  })
  const other = world.ioas()
  const plain = attach(world.bind(world.device('b')), other.id)
  expect(domainTraits(world.hwpt(plain).view).enforcesCacheCoherency).toBe(false)
})

test('section 8: a driver that says it can enforce coherency and does not is at fault', () => {
  const world = new World()
  const ioas = world.ioas()
  const idev = world.bind(world.device('a', { enforces: false }))
  const before = world.state()
  expect(world.outcome(attach(idev, ioas.id))).toBe('EINVAL COHERENCY_NOT_ENFORCED')
  expect(world.state()).toEqual(before)
  expect(world.warnings).toHaveLength(1)
})
