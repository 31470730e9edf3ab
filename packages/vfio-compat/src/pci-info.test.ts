// SPDX-License-Identifier: Apache-2.0
// What a PCI device tells about itself, and the calls beside regions and interrupts.

import {
  VFIO_DEVICE_FEATURE,
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MIGRATION,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  VFIO_DEVICE_GET_INFO,
  VFIO_DEVICE_GET_IRQ_INFO,
  VFIO_DEVICE_GET_PCI_HOT_RESET_INFO,
  VFIO_DEVICE_GET_REGION_INFO,
  VFIO_DEVICE_IOEVENTFD,
  VFIO_DEVICE_PCI_HOT_RESET,
  VFIO_DEVICE_RESET,
  vfio_device_feature,
  vfio_device_info,
  vfio_irq_info,
  vfio_pci_hot_reset,
  vfio_pci_hot_reset_info,
  vfio_region_info,
} from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import { NOTHING } from '../test/columns.js'
import { ARG, PciWorld } from '../test/pci-world.js'

const GUARD = 0xcccccccc

describe('section 7: VFIO_DEVICE_GET_INFO', () => {
  const info = (argsz: number) => {
    const values = { argsz, flags: GUARD, num_regions: GUARD, num_irqs: GUARD }
    const tail = { cap_offset: GUARD, pad: GUARD }
    return new PciWorld().call(VFIO_DEVICE_GET_INFO, vfio_device_info, { ...values, ...tail })
  }

  test('a PCI device that can be reset, with nine regions and five kinds of interrupt', () => {
    const told = { argsz: 24, flags: 3, num_regions: 9, num_irqs: 5, cap_offset: 0, pad: 0 }
    expect(info(24)).toEqual({ outcome: 'ok', ...told })
  })

  test('no more than argsz is written, and argsz stays as it is', () => {
    expect(info(16)).toMatchObject({ argsz: 16, num_irqs: 5, cap_offset: GUARD, pad: GUARD })
    expect(info(20)).toMatchObject({ argsz: 20, cap_offset: 0, pad: GUARD })
    expect(info(4096)).toMatchObject({ outcome: 'ok', argsz: 4096 })
  })

  test('argsz below 16 is EINVAL and writes nothing', () => {
    expect(info(15)).toMatchObject({ outcome: 'EINVAL', flags: GUARD })
  })
})

describe('section 7: VFIO_DEVICE_GET_REGION_INFO', () => {
  const region = (index: number, argsz = 32) => {
    const values = { argsz, flags: GUARD, index, cap_offset: GUARD, size: 1, offset: 1 }
    return new PciWorld().call(VFIO_DEVICE_GET_REGION_INFO, vfio_region_info, values)
  }

  test('BARs have their size, other BARs and the ROM none; the offset is the number << 40', () => {
    const seen = [0, 1, 2, 3, 4, 5, 6, 7].map((index) => {
      const { outcome, flags, offset, size } = region(index)
      expect([outcome, offset]).toEqual(['ok', BigInt(index) << 40n])
      return [flags, Number(size)]
    })
    const none = [0, 0]
    expect(seen).toEqual([[3, 16], none, [3, 4096], none, none, none, none, [3, 256]])
  })

  test('without capabilities argsz and cap_offset stay as they are', () => {
    expect(region(7, 999)).toMatchObject({ outcome: 'ok', argsz: 999, cap_offset: GUARD })
  })

  test('VGA, numbers beyond, and argsz below 32 are EINVAL', () => {
    for (const index of [8, 9, 2 ** 32 - 1]) expect(region(index).outcome).toBe('EINVAL')
    expect(region(0, 31).outcome).toBe('EINVAL')
  })
})

describe('section 7: VFIO_DEVICE_GET_IRQ_INFO', () => {
  const irqs = (world: PciWorld, index: number, argsz = 16) => {
    const values = { argsz, flags: GUARD, index, count: GUARD }
    const { outcome, flags, count } = world.call(VFIO_DEVICE_GET_IRQ_INFO, vfio_irq_info, values)
    return outcome === 'ok' ? [flags, count] : outcome
  }

  test('the pin can be masked and masks itself; the others cannot change their number', () => {
    const world = new PciWorld()
    expect([0, 1, 2, 3, 4].map((index) => irqs(world, index))).toEqual([
      [7, 1],
      [9, 4],
      [9, 0],
      'EINVAL',
      [9, 1],
    ])
    const bare = new PciWorld({ interruptPin: 0, msiVectors: 0 })
    expect([0, 1].map((index) => irqs(bare, index))).toEqual([
      [7, 0],
      [9, 0],
    ])
  })

  test('numbers beyond and argsz below 16 are EINVAL', () => {
    expect(irqs(new PciWorld(), 5)).toBe('EINVAL')
    expect(irqs(new PciWorld(), 0, 15)).toBe('EINVAL')
  })
})

test('section 7: VFIO_DEVICE_RESET resets the function and leaves configuration space', () => {
  const world = new PciWorld()
  world.setConfig(4, 0x0406)
  expect(world.ioctl(VFIO_DEVICE_RESET)).toBe('ok')
  expect(world.taken()).toEqual(['reset'])
  expect(world.config(4) & 0xffff).toBe(0x0406)
})

test('section 7: VFIO_DEVICE_FEATURE: argsz, then flags, then ENOTTY, also for PROBE', () => {
  const world = new PciWorld()
  const feature = (flags: number, argsz = 8) =>
    world.call(VFIO_DEVICE_FEATURE, vfio_device_feature, { argsz, flags }).outcome
  const both = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET
  expect(feature(0x80000, 7)).toBe('EINVAL')
  expect(feature(0x80000)).toBe('EINVAL')
  expect(feature(both)).toBe('EINVAL')
  expect(feature(both | VFIO_DEVICE_FEATURE_PROBE)).toBe('ENOTTY')
  expect(feature(VFIO_DEVICE_FEATURE_PROBE | VFIO_DEVICE_FEATURE_MIGRATION)).toBe('ENOTTY')
  expect(feature(VFIO_DEVICE_FEATURE_GET)).toBe('ENOTTY')
  expect(feature(0xffff)).toBe('ENOTTY')
})

test('section 7: hot reset: argsz, flags, then ENODEV for a bus without a bridge', () => {
  const world = new PciWorld()
  const info = (argsz: number) =>
    world.call(VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, vfio_pci_hot_reset_info, { argsz }).outcome
  const reset = (argsz: number, flags: number) =>
    world.call(VFIO_DEVICE_PCI_HOT_RESET, vfio_pci_hot_reset, { argsz, flags }).outcome
  expect([info(11), info(12)]).toEqual(['EINVAL', 'ENODEV'])
  expect([reset(11, 0), reset(12, 1), reset(12, 0)]).toEqual(['EINVAL', 'EINVAL', 'ENODEV'])
})

test('section 7: bad pointers are EFAULT before anything else, unknown calls ENOTTY', () => {
  const world = new PciWorld()
  for (const cmd of [0x3b6b, 0x3b6c, 0x3b6d, 0x3b6e, 0x3b70, 0x3b71, 0x3b75, 0x3b76]) {
    expect(world.ioctl(cmd, NOTHING)).toBe('EFAULT')
  }
  for (const cmd of [VFIO_DEVICE_IOEVENTFD, 0x3b77, 0x3b78, 0x3b64]) {
    expect(world.ioctl(cmd, ARG)).toBe('ENOTTY')
  }
})

test('section 7: a device that its group opened cannot be bound again', () => {
  const world = new PciWorld()
  const bind = (argsz: number, iommufd: number): string => {
    world.column.process.store(ARG, new Uint8Array(Int32Array.of(argsz, 0, iommufd, 0).buffer))
    return world.ioctl(0x3b76)
  }
  expect(bind(15, 0)).toBe('EINVAL')
  expect(world.column.engine.refusals.last?.id).toBe('CDEV_ARGSZ_TOO_SMALL')
  expect(bind(16, world.column.container)).toBe('EINVAL')
  expect(world.column.engine.refusals.last?.id).toBe('BIND_ON_GROUP_DEVICE')
})

test('section 7: every fault point of telling: the struct is read, and written', () => {
  const world = new PciWorld()
  const { faults } = world.column.engine
  for (const [cmd, size] of [
    [VFIO_DEVICE_GET_INFO, 24],
    [VFIO_DEVICE_GET_REGION_INFO, 32],
    [VFIO_DEVICE_GET_IRQ_INFO, 16],
  ] as const) {
    const outcomes = [1, 2, 3].map((n) => {
      world.column.process.store(ARG, Uint8Array.of(size, ...new Array(31).fill(0)))
      faults.arm(n)
      const outcome = world.ioctl(cmd)
      faults.disarm()
      return outcome
    })
    expect(outcomes).toEqual(['EFAULT', 'EFAULT', 'ok'])
  }
})
