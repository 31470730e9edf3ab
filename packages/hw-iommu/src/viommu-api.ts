// SPDX-License-Identifier: Apache-2.0
/**
 * What drivers call for their vIOMMUs, in the form of `include/linux/iommufd.h` (SPEC section 5).
 *
 * Invariant: these look and count; what a vIOMMU has is changed by the commands of user space alone.
 */
import type { MmapRegion } from '@iommufd/core'
import type { Device } from './device.js'
import type { IommufdHwQueue } from './hw-queue.js'
import { HW_QUEUE_NEEDS_ITSELF, VDEV_ID_UNKNOWN, VEVENTQ_MISSING } from './refusals.js'
import type { IommufdVdevice } from './vdevice.js'
import type { IommufdViommu } from './viommu.js'

/** The device that the guest knows by this number. */
export function iommufd_viommu_find_dev(
  viommu: IommufdViommu,
  vdev_id: bigint,
): Device | undefined {
  return viommu.vdevices.get(vdev_id)?.idev.dev
}

/** The number that the guest knows the device by, or -ENOENT. */
export function iommufd_viommu_get_vdev_id(viommu: IommufdViommu, dev: Device): bigint | number {
  for (const [virtId, { idev }] of viommu.vdevices) if (idev.dev === dev) return virtId
  return viommu.ctx.engine.refusals.refuse(VDEV_ID_UNKNOWN, viommu.id)
}

export function iommufd_vdevice_to_device(vdev: IommufdVdevice): Device {
  return vdev.idev.dev
}

/**
 * An event for the guest: 0, also when the queue is full and the event counts as lost; -EOPNOTSUPP
 * (no queue of this type, IOMMU_VEVENTQ_TYPE_*), -ENOMEM (lost as well).
 */
export function iommufd_viommu_report_event(
  viommu: IommufdViommu,
  type: number,
  event_data: Uint8Array,
): number {
  const queue = viommu.veventqs.get(type)
  if (queue !== undefined) return queue.report(event_data)
  return viommu.ctx.engine.refusals.refuse(VEVENTQ_MISSING, viommu.id, type | 0)
}

/** Lets the program map these frames, which live as long as the vIOMMU: where, or -ENOMEM. */
export function iommufd_viommu_alloc_mmap(
  viommu: IommufdViommu,
  frames: Uint32Array,
): MmapRegion | number {
  const { ctx } = viommu
  const rc = ctx.engine.allocate()
  return rc < 0 ? rc : ctx.mmaps.add(viommu, frames)
}

export function iommufd_viommu_destroy_mmap(viommu: IommufdViommu, region: MmapRegion): void {
  viommu.ctx.mmaps.remove(region)
}

/** `queue` needs `on`, which cannot be destroyed before it: 0, or -EINVAL when it is itself. */
export function iommufd_hw_queue_depend(queue: IommufdHwQueue, on: IommufdHwQueue): number {
  if (queue === on) {
    return queue.viommu.ctx.engine.refusals.refuse(HW_QUEUE_NEEDS_ITSELF, queue.id)
  }
  on.users++
  return 0
}

/** `queue` ends, or needs `on` no more. */
export function iommufd_hw_queue_undepend(_queue: IommufdHwQueue, on: IommufdHwQueue): void {
  on.users--
}
