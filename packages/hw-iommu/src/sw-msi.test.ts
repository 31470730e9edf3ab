// SPDX-License-Identifier: Apache-2.0
import type { IommufdIoas } from '@iommufd/pages'
import { IOMMU_HWPT_ALLOC_PASID } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { World } from '../test/harness.js'
import type { ToyDeviceOptions, ToyDomain } from '../test/toy-driver.js'
import {
  IOMMU_NO_PASID,
  IOMMU_RESV_SW_MSI,
  type IommufdDevice,
  iommufd_device_attach,
  iommufd_device_detach,
  iommufd_device_replace,
  iommufd_sw_msi,
  MsiDesc,
} from './index.js'

const WINDOW = 0x800_0000n
/** Where an interrupt controller takes interrupts. */
const DOORBELL = 0x8_0809_0040n
const FRAME = 0x80_8090

const window = (start = WINDOW): ToyDeviceOptions => ({
  regions: [{ start, length: 0x10_0000n, type: IOMMU_RESV_SW_MSI }],
})

class Scene {
  readonly world: World = new World()
  readonly ioas: IommufdIoas = this.world.ioas()

  bind(name: string, options: ToyDeviceOptions = window()): IommufdDevice {
    return this.world.bind(this.world.device(name, options))
  }

  attached(name: string, options: ToyDeviceOptions = window()): IommufdDevice {
    const idev = this.bind(name, options)
    expect(iommufd_device_attach(idev, IOMMU_NO_PASID, this.ioas.id)).toBeGreaterThan(0)
    return idev
  }

  /** The address that the device has to write to, or why not. */
  msi(idev: IommufdDevice, msiAddr: bigint = DOORBELL): bigint | string {
    const desc = new MsiDesc(idev.dev)
    const rc = iommufd_sw_msi(desc, msiAddr)
    return rc < 0 ? this.world.outcome(rc) : desc.address(msiAddr)
  }

  /** Entries of the nth table that was made, as page of IOVAs and frame. */
  entries(nth: number): [number, number][] {
    return [...(this.world.driver.domains[nth] as ToyDomain).entries]
  }
}

const page = (iova: bigint): number => Number(iova >> 12n)

describe('E9: the software MSI window', () => {
  test('a page is mapped in the window; the device writes to its IOVA', () => {
    const scene = new Scene()
    const idev = scene.attached('a')
    expect(scene.msi(idev)).toBe(WINDOW + 0x40n)
    expect(scene.entries(0)).toEqual([[page(WINDOW), FRAME]])
    expect(scene.msi(idev, DOORBELL + 4n)).toBe(WINDOW + 0x44n)
    expect(scene.msi(idev, DOORBELL + 0x1000n)).toBe(WINDOW + 0x1040n)
    expect(scene.entries(0)).toHaveLength(2)
    expect(scene.world.map(scene.ioas, Number(WINDOW), 1)).toBe('EINVAL IOVA_RESERVED')
  })

  test.each<[string, (scene: Scene) => IommufdDevice]>([
    ['a device without a window', (scene) => scene.attached('a', {})],
    ['a device that is not attached', (scene) => scene.bind('a')],
  ])('%s writes to the physical address', (_name, device) => {
    const scene = new Scene()
    expect(scene.msi(device(scene))).toBe(DOORBELL)
  })

  test('a device that nobody owns writes to the physical address', () => {
    const { world } = new Scene()
    const desc = new MsiDesc(world.device('a', window()))
    expect(iommufd_sw_msi(desc, Number(DOORBELL))).toBe(0)
    expect(desc.address(DOORBELL)).toBe(DOORBELL)
  })

  test('a page has one IOVA in a context, whatever group or table', () => {
    const scene = new Scene()
    const [a, b] = [scene.attached('a'), scene.attached('b')]
    const other = scene.world.ioas()
    const c = scene.bind('c')
    iommufd_device_attach(c, IOMMU_NO_PASID, other.id)
    expect(scene.msi(a, 0x1_0000n)).toBe(WINDOW)
    expect(scene.msi(b)).toBe(WINDOW + 0x1040n)
    expect(scene.msi(c)).toBe(WINDOW + 0x1040n)
    expect(scene.entries(0)).toHaveLength(2)
    expect(scene.entries(1)).toEqual([[page(WINDOW) + 1, FRAME]])
  })

  test('windows that begin elsewhere are filled on their own', () => {
    const scene = new Scene()
    const low = scene.attached('low', window(0x40_0000n))
    expect(scene.msi(scene.attached('a'))).toBe(WINDOW + 0x40n)
    expect(scene.msi(low)).toBe(0x40_0040n)
  })

  test('a table that the group comes to has the pages that it uses, and only those', () => {
    const scene = new Scene()
    const [a, b] = [scene.attached('a'), scene.attached('b')]
    scene.msi(a, 0x1_0000n)
    scene.msi(b)
    const other = scene.world.ioas()
    expect(iommufd_device_replace(b, IOMMU_NO_PASID, other.id)).toBeGreaterThan(0)
    expect(scene.entries(1)).toEqual([[page(WINDOW) + 1, FRAME]])
    iommufd_device_detach(b, IOMMU_NO_PASID)
    iommufd_device_attach(b, IOMMU_NO_PASID, scene.world.ioas().id)
    expect(scene.entries(2)).toEqual([[page(WINDOW) + 1, FRAME]])
    expect(scene.msi(b)).toBe(WINDOW + 0x1040n)
  })

  test('a table of a PASID has none: interrupts have no PASID', () => {
    const scene = new Scene()
    const idev = scene.bind('a', { ...window(), pasids: 8 })
    const values = { dev_id: idev.id, pt_id: scene.ioas.id, flags: IOMMU_HWPT_ALLOC_PASID }
    const [plain, other] = [1, 2].map(() => scene.world.hwptAlloc(values)) as [number, number]
    iommufd_device_attach(idev, IOMMU_NO_PASID, plain)
    expect(scene.msi(idev)).toBe(WINDOW + 0x40n)
    expect(iommufd_device_attach(idev, 1, other)).toBe(other)
    expect([scene.entries(0).length, scene.entries(1).length]).toEqual([1, 0])
  })

  test('64 pages of a context, over all windows; then EOVERFLOW', () => {
    const scene = new Scene()
    const [a, b] = [scene.attached('a'), scene.attached('b', window(0x40_0000n))]
    for (let i = 0n; i < 63n; i++) scene.msi(a, DOORBELL + i * 0x1000n)
    expect(scene.msi(b)).toBe(0x40_0040n)
    expect(scene.msi(b, 0x1_0000n)).toBe('EOVERFLOW MSI_PAGES_EXHAUSTED')
    expect(scene.msi(a, DOORBELL + 62n * 0x1000n)).toBe(WINDOW + 62n * 0x1000n + 0x40n)
  })

  test('an address above the reach of tables: ERANGE', () => {
    const scene = new Scene()
    expect(scene.msi(scene.attached('a'), 1n << 44n)).toBe('ERANGE MSI_PAGE_TOO_HIGH')
    expect(scene.entries(0)).toEqual([])
  })

  test('a table that does not take the page: the descriptor stays, and so does the attachment', () => {
    const scene = new Scene()
    const idev = scene.attached('a')
    const [first] = scene.world.driver.domains as [ToyDomain]
    first.map = () => -12
    expect(scene.msi(idev)).toBe('ENOMEM DRIVER_REFUSED')
    first.map = Object.getPrototypeOf(first).map
    expect(scene.msi(idev)).toBe(WINDOW + 0x40n)
    const flawed = scene.world.hwptAlloc({ dev_id: idev.id, pt_id: scene.ioas.id }) as number
    scene.world.hwpt(flawed).domain.map = () => -12
    const before = scene.world.state()
    const rc = iommufd_device_replace(idev, IOMMU_NO_PASID, flawed)
    expect(scene.world.outcome(rc)).toBe('ENOMEM DRIVER_REFUSED')
    expect(scene.world.state()).toEqual(before)
    iommufd_device_detach(idev, IOMMU_NO_PASID)
    const detached = scene.world.state()
    expect(scene.world.outcome(iommufd_device_attach(idev, IOMMU_NO_PASID, flawed))).toBe(
      'ENOMEM DRIVER_REFUSED',
    )
    expect(scene.world.state()).toEqual(detached)
  })
})
