// SPDX-License-Identifier: Apache-2.0

import type { IommufdIoas } from '@iommufd/pages'
import { IOMMU_HWPT_ALLOC_NEST_PARENT, IOMMU_HWPT_ALLOC_PASID } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { DATA, World } from '../test/harness.js'
import { PlainDriver, ToyDevice, type ToyDeviceOptions } from '../test/toy-driver.js'
import {
  IOMMU_NO_PASID,
  IOMMU_RESV_RESERVED,
  Iommu,
  type IommufdDevice,
  iommufd_device_attach,
  iommufd_device_detach,
  iommufd_device_replace,
  iommufd_device_unbind,
} from './index.js'

const PASIDS = 1 << 10

/** A bound device with PASIDs on an address space, and tables made for PASIDs. */
class Scene {
  readonly world: World = new World()
  readonly ioas: IommufdIoas = this.world.ioas()
  readonly idev: IommufdDevice = this.bind('a')

  bind(name: string, options: ToyDeviceOptions = {}): IommufdDevice {
    return this.world.bind(this.world.device(name, { pasids: PASIDS, ...options }))
  }

  /** A table of the address space: its id. */
  table(flags: number = IOMMU_HWPT_ALLOC_PASID, pt_id: number = this.ioas.id): number {
    const values = { dev_id: this.idev.id, pt_id, flags }
    return this.world.hwptAlloc(values) as number
  }

  attach(pasid: number, id: number, idev: IommufdDevice = this.idev): string {
    return this.world.outcome(iommufd_device_attach(idev, pasid, id))
  }

  replace(pasid: number, id: number, idev: IommufdDevice = this.idev): string {
    return this.world.outcome(iommufd_device_replace(idev, pasid, id))
  }

  detach(pasid: number, idev: IommufdDevice = this.idev): void {
    iommufd_device_detach(idev, pasid)
  }

  /** Ids of the tables that the hardware of the device uses, by PASID. */
  used(idev: IommufdDevice = this.idev): Record<number, number> {
    const hwpts = [...this.world.ctx.objects].filter((object) => 'paging' in object)
    const { pasids } = idev.dev as ToyDevice
    const idOf = (domain: unknown) =>
      hwpts.find((hwpt) => (hwpt as { domain?: unknown }).domain === domain)?.id ?? -1
    return Object.fromEntries([...pasids].map(([pasid, domain]) => [pasid, idOf(domain)]))
  }
}

describe('E10: PASIDs', () => {
  test('each has a table of its own, which it keeps busy until it is detached', () => {
    const scene = new Scene()
    const { world } = scene
    const [plain, first, second] = [scene.table(), scene.table(), scene.table()]
    expect(scene.attach(IOMMU_NO_PASID, plain)).toBe('ok')
    expect(scene.attach(1, first)).toBe('ok')
    expect(scene.attach(2, second)).toBe('ok')
    expect(scene.attach(3, second)).toBe('ok')
    expect(scene.used()).toEqual({ 1: first, 2: second, 3: second })
    expect(world.hwpt(second).users).toBe(2)
    expect(world.destroy(first)).toBe('EBUSY OBJECT_BUSY')
    scene.detach(1)
    scene.detach(3)
    expect(scene.used()).toEqual({ 2: second })
    expect(world.destroy(first)).toBe('ok')
    expect(world.hwpt(plain).users).toBe(1)
    expect(world.hwpt(second).users).toBe(1)
  })

  test('without DMA that has none, before and after it', () => {
    const scene = new Scene()
    const id = scene.table()
    expect(scene.attach(5, id)).toBe('ok')
    expect(scene.attach(IOMMU_NO_PASID, id)).toBe('ok')
    scene.detach(IOMMU_NO_PASID)
    expect(scene.used()).toEqual({ 5: id })
    scene.detach(5)
    expect(scene.world.destroy(id)).toBe('ok')
  })

  test('an attachment answers the id of its table; detaching twice does nothing', () => {
    const scene = new Scene()
    const id = scene.table()
    expect(iommufd_device_attach(scene.idev, 1, id)).toBe(id)
    scene.detach(1)
    scene.detach(1)
    expect(scene.world.hwpt(id).users).toBe(0)
    expect(scene.attach(1, id)).toBe('ok')
    expect(scene.used()).toEqual({ 1: id })
    expect(scene.world.warnings).toEqual([])
  })

  test('reserve nothing: the regions are those of DMA without a PASID', () => {
    const scene = new Scene()
    const regions = [{ start: 0x8000n, length: 0x1000n, type: IOMMU_RESV_RESERVED }]
    const idev = scene.bind('b', { regions })
    expect(scene.world.map(scene.ioas, 0x8000, 1)).toBe('ok')
    const id = scene.table()
    expect(scene.attach(1, id, idev)).toBe('ok')
    expect(scene.attach(IOMMU_NO_PASID, id, idev)).toBe('EADDRINUSE SPACE_IN_USE')
    expect(scene.replace(1, scene.table(), idev)).toBe('ok')
  })

  test('a nested table made for them', () => {
    const scene = new Scene()
    const { world } = scene
    const parent = scene.table(IOMMU_HWPT_ALLOC_NEST_PARENT)
    world.process.store(DATA, Uint8Array.of(1, 0, 0, 0))
    const nested = (flags: number): number =>
      world.hwptAlloc({
        dev_id: scene.idev.id,
        pt_id: parent,
        flags,
        data_type: 1,
        data_len: 4,
        data_uptr: DATA,
      }) as number
    const id = nested(IOMMU_HWPT_ALLOC_PASID)
    expect(scene.attach(1, id)).toBe('ok')
    expect(scene.used()).toEqual({ 1: id })
    expect(scene.attach(2, nested(0))).toBe('EINVAL HWPT_WITHOUT_PASID')
  })

  test('unbinding while one is attached: a warning, and it is detached', () => {
    const scene = new Scene()
    const id = scene.table()
    scene.attach(IOMMU_NO_PASID, id)
    scene.attach(1, id)
    const { idev, world } = scene
    iommufd_device_unbind(idev)
    expect(world.warnings).toHaveLength(2)
    expect(scene.used()).toEqual({})
    expect(world.hwpt(id).users).toBe(0)
  })
})

describe('E10: which tables go together', () => {
  test.each<[string, (scene: Scene) => string]>([
    ['ENOENT PT_UNKNOWN', (scene) => scene.attach(1, 77)],
    ['EINVAL OBJECT_NOT_ATTACHABLE', (scene) => scene.attach(1, scene.idev.id)],
    ['EINVAL HWPT_WITHOUT_PASID', (scene) => scene.attach(1, scene.table(0))],
    // Automatic tables are never made for PASIDs, be there one already or not.
    ['EINVAL HWPT_WITHOUT_PASID', (scene) => scene.attach(1, scene.ioas.id)],
    [
      'EINVAL DEVICE_HWPT_WITHOUT_PASID',
      (scene) => {
        scene.attach(IOMMU_NO_PASID, scene.ioas.id)
        return scene.attach(1, scene.table())
      },
    ],
    [
      'EINVAL GROUP_USES_PASIDS',
      (scene) => {
        scene.attach(1, scene.table())
        return scene.attach(IOMMU_NO_PASID, scene.table(0))
      },
    ],
    [
      'EINVAL GROUP_USES_PASIDS',
      (scene) => {
        const id = scene.table()
        scene.attach(IOMMU_NO_PASID, id)
        scene.attach(1, id)
        return scene.replace(IOMMU_NO_PASID, scene.ioas.id)
      },
    ],
    [
      'EBUSY DEVICE_ATTACHED_ALREADY',
      (scene) => {
        scene.attach(1, scene.table())
        return scene.attach(1, scene.table())
      },
    ],
    ['EINVAL PASID_OUT_OF_RANGE', (scene) => scene.attach(PASIDS, scene.table())],
    ['EINVAL PASID_OUT_OF_RANGE', (scene) => scene.attach(0xffffffff, scene.table())],
    [
      'EINVAL PASID_OUT_OF_RANGE',
      (scene) => scene.attach(1, scene.table(), scene.bind('none', { pasids: 0 })),
    ],
    ['EINVAL DEVICE_NOT_ATTACHED', (scene) => scene.replace(1, scene.table())],
    [
      'EINVAL HWPT_WITHOUT_PASID',
      (scene) => {
        scene.attach(1, scene.table())
        return scene.replace(1, scene.table(0))
      },
    ],
  ])('%s', (outcome, call) => {
    expect(call(new Scene())).toBe(outcome)
  })

  test('a refused call leaves no user, no table and no PASID', () => {
    const scene = new Scene()
    const { world } = scene
    const id = scene.table()
    scene.attach(1, id)
    const before = world.state()
    expect(scene.attach(IOMMU_NO_PASID, scene.ioas.id)).toBe('EINVAL GROUP_USES_PASIDS')
    expect(scene.attach(2, scene.ioas.id)).toBe('EINVAL HWPT_WITHOUT_PASID')
    expect(world.state()).toEqual(before)
    expect(scene.used()).toEqual({ 1: id })
    const [, automatic] = world.driver.domains.filter((domain) => domain.isFree)
    expect(automatic).toBeDefined()
  })

  test('a driver without PASIDs: EOPNOTSUPP', () => {
    const world = new World()
    const iommu = new Iommu(world.engine)
    const driver = new PlainDriver(iommu)
    iommu.registerDriver(driver)
    const dev = new ToyDevice('a', { pasids: PASIDS })
    iommu.addDevice(dev)
    const idev = world.bind(dev)
    const id = world.hwptAlloc({ dev_id: idev.id, pt_id: world.ioas().id }) as number
    world.hwpt(id).allowsPasids = true
    expect(world.outcome(iommufd_device_attach(idev, 1, id))).toBe('EOPNOTSUPP PASID_UNSUPPORTED')
  })

  test("another driver's table: EINVAL", () => {
    const scene = new Scene()
    const { world } = scene
    const iommu = new Iommu(world.engine)
    iommu.registerDriver(new (world.driver.constructor as new (of: Iommu) => PlainDriver)(iommu))
    const dev = new ToyDevice('other', { pasids: PASIDS })
    iommu.addDevice(dev)
    const other = world.bind(dev)
    expect(scene.attach(1, scene.table(), other)).toBe('EINVAL DOMAIN_OF_OTHER_DRIVER')
  })
})

describe('E10: PASIDs of a group', () => {
  test('the devices of a group use one table for a PASID', () => {
    const scene = new Scene()
    const [a, b] = [scene.bind('x', { group: 'g' }), scene.bind('y', { group: 'g' })]
    const [id, other] = [scene.table(), scene.table()]
    expect(scene.attach(1, id, a)).toBe('ok')
    expect(scene.used(b)).toEqual({ 1: id })
    expect(scene.attach(1, other, b)).toBe('EINVAL GROUP_HAS_OTHER_HWPT')
    expect(scene.attach(1, id, b)).toBe('ok')
    expect(scene.world.hwpt(id).users).toBe(2)
    expect(scene.replace(1, other, a)).toBe('ok')
    expect([scene.used(a), scene.used(b)]).toEqual([{ 1: other }, { 1: other }])
    expect(scene.world.hwpt(id).users).toBe(0)
    expect(scene.world.hwpt(other).users).toBe(2)
    scene.detach(1, a)
    expect(scene.used(a)).toEqual({ 1: other })
    scene.detach(1, b)
    expect([scene.used(a), scene.used(b)]).toEqual([{}, {}])
  })

  test('replacing needs an attachment of the device itself', () => {
    const scene = new Scene()
    const [a, b] = [scene.bind('x', { group: 'g' }), scene.bind('y', { group: 'g' })]
    scene.attach(1, scene.table(), a)
    expect(scene.replace(1, scene.table(), b)).toBe('EINVAL DEVICE_NOT_ATTACHED')
  })

  test('a device that has no PASIDs is left alone, one that has fewer limits the group', () => {
    const scene = new Scene()
    const options = { group: 'g' }
    const a = scene.bind('x', options)
    const none = scene.bind('y', { ...options, pasids: 0 })
    scene.bind('z', { ...options, pasids: 8 })
    expect(scene.attach(7, scene.table(), a)).toBe('ok')
    expect(scene.used(none)).toEqual({})
    expect(scene.attach(8, scene.table(), a)).toBe('EINVAL PASID_OUT_OF_RANGE')
  })

  test('the third device refuses a table: the first two go back, to a table or to nothing', () => {
    const scene = new Scene()
    const devices = ['x', 'y', 'z'].map((name) => scene.bind(name, { group: 'g' }))
    const [a, , c] = devices as [IommufdDevice, IommufdDevice, IommufdDevice]
    const [id, other] = [scene.table(), scene.table()]
    const refused = scene.world.hwpt(other).domain
    ;(c.dev as ToyDevice).accepts = (domain) => (domain === refused ? -5 : 0)
    const before = scene.world.state()
    expect(scene.attach(1, other, a)).toBe('EIO DRIVER_REFUSED')
    expect(devices.map((idev) => scene.used(idev))).toEqual([{}, {}, {}])
    expect(scene.world.state()).toEqual(before)
    scene.attach(1, id, a)
    const attached = scene.world.state()
    expect(scene.replace(1, other, a)).toBe('EIO DRIVER_REFUSED')
    expect(devices.map((idev) => scene.used(idev))).toEqual([{ 1: id }, { 1: id }, { 1: id }])
    expect(scene.world.state()).toEqual(attached)
    expect(scene.world.warnings).toEqual([])
  })

  test('a device that does not go back is a fault of the driver', () => {
    const scene = new Scene()
    const [a, b] = [scene.bind('x', { group: 'g' }), scene.bind('y', { group: 'g' })]
    const domain = scene.world.hwpt(scene.table()).domain
    ;(a.dev as ToyDevice).accepts = (wanted) => (wanted.type === 'blocked' ? -5 : 0)
    ;(b.dev as ToyDevice).accepts = () => -22
    expect(a.igroup.group.pasids.set(a.dev, 1, domain)).toBe(-22)
    expect(scene.world.warnings).toEqual(['x does not let go of PASID 1'])
  })
})
