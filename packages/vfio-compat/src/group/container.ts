// SPDX-License-Identifier: Apache-2.0
/**
 * What a group needs of a container that is not an iommufd (SPEC section 6, group side).
 *
 * Invariant: groups know containers by this class alone; the translator with its own behaviour
 * (type 1) extends it. A group is in at most one container, and every group that was attached is
 * detached by the group itself.
 */
import type { Task } from '@iommufd/host'
import { EngineFile } from '../engine-file.js'
import type { VfioGroup } from './group.js'

export abstract class VfioContainer extends EngineFile {
  /** Takes the group in, on behalf of `task`: 0 or a negative errno. */
  abstract attachGroup(task: Task, group: VfioGroup): number
  /** Lets the group go; never fails. With the last group the IOMMU and all mappings go. */
  abstract detachGroup(group: VfioGroup): void
  /** Whether VFIO_SET_IOMMU has been made: only then can devices be opened. */
  abstract readonly hasIommu: boolean
  /** Pins `npage` pages from page `page` of the IOVAs on for an in-kernel device: how many, or -errno. */
  abstract pinPages(
    group: VfioGroup,
    page: number,
    npage: number,
    write: boolean,
    frames: Uint32Array,
  ): number
  /** Gives pins back that `pinPages` took. */
  abstract unpinPages(page: number, npage: number): void
}
