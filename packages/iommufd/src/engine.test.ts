// SPDX-License-Identifier: Apache-2.0
import { Machine } from '@iommufd/host'
import {
  VFIO_CHECK_EXTENSION,
  VFIO_NOIOMMU_IOMMU,
  VFIO_SET_IOMMU,
  VFIO_TYPE1v2_IOMMU,
} from '@iommufd/uapi'
import { expect, test } from 'vitest'
import { type AttachOptions, attachIommufd } from './engine.js'

/** A process with /dev/vfio/vfio open; the id of the refusal of its last call. */
function open(options: AttachOptions) {
  const machine = new Machine()
  const engine = attachIommufd(machine, options)
  const process = machine.spawn()
  const fd = process.open('/dev/vfio/vfio')
  const ioctl = (cmd: number, arg: number) => process.ioctl(fd, cmd, arg)
  return { ioctl, refusal: () => engine.refusals.last?.id, process }
}

test('F1 /dev/vfio/vfio is an iommufd, or a type 1 container where that is asked for', () => {
  const iommufd = open({})
  expect(iommufd.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)).toBe(-19)
  expect(iommufd.refusal()).toBe('COMPAT_IOAS_MISSING')
  const type1 = open({ as: 'type1' })
  expect(type1.ioctl(VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)).toBe(-22)
  expect(type1.refusal()).toBe('TYPE1_SET_IOMMU_WITHOUT_GROUP')
  expect(type1.process.open('/dev/iommu')).toBe(4)
})

test('V31 devices without an IOMMU are offered only where that is asked for', () => {
  for (const as of ['iommufd', 'type1'] as const) {
    const offered = (vfioNoiommu: boolean) =>
      open({ as, vfioNoiommu }).ioctl(VFIO_CHECK_EXTENSION, VFIO_NOIOMMU_IOMMU)
    expect([offered(false), offered(true)]).toEqual([0, 1])
  }
})
