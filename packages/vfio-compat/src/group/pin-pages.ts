// SPDX-License-Identifier: Apache-2.0
/**
 * Pages that an emulated device pins, whatever its group is in: an iommufd or a type 1 container
 * (SPEC V33, E7).
 *
 * Invariant: the device is open; a call pins all pages or none.
 */
import { iommufd_access_pin_pages, iommufd_access_unpin_pages } from '@iommufd/access'
import { EINVAL, PAGE_SIZE } from '@iommufd/uapi'
import type { EmulatedVfioDevice } from './device.js'

/**
 * Pins `npage` pages of the IOVAs from `iova` on (its page begins them) and writes their frames to
 * `frames`: `npage`, or -EINVAL (not open, nothing mapped), -EPERM, -EACCES (type 1 of the first
 * version), -ENOENT (an iommufd, nothing mapped), -EFAULT, -ENOMEM.
 */
export function vfio_pin_pages(
  device: EmulatedVfioDevice,
  iova: number,
  npage: number,
  write: boolean,
  frames: Uint32Array,
): number {
  const { access, group } = device
  const page = Math.floor(iova / PAGE_SIZE)
  if (access !== undefined) {
    const flags = write ? 1 : 0
    const length = npage * PAGE_SIZE
    return iommufd_access_pin_pages(access, page * PAGE_SIZE, length, frames, flags) || npage
  }
  if (device.openCount === 0 || group?.container === undefined) return -EINVAL
  group.vfio.engine.refusals.clear()
  return group.container.pinPages(group, page, npage, write, frames)
}

/** Gives pins back; the range must be one that was pinned. */
export function vfio_unpin_pages(device: EmulatedVfioDevice, iova: number, npage: number): void {
  const page = Math.floor(iova / PAGE_SIZE)
  const { access, group } = device
  if (access !== undefined) iommufd_access_unpin_pages(access, page * PAGE_SIZE, npage * PAGE_SIZE)
  else group?.container?.unpinPages(page, npage)
}
