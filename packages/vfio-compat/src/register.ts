// SPDX-License-Identifier: Apache-2.0
/** Puts the VFIO container on an engine: IOMMU_VFIO_IOAS and the ioctls that are not iommufd's own. */
import type { Iommufd } from '@iommufd/core'
import type { IopTables } from '@iommufd/pages'
import { IOMMU_VFIO_IOAS } from '@iommufd/uapi'
import { VfioCompat, type VfioCompatOptions } from './compat-ioas.js'
import { Container } from './container.js'
import { vfioIoas } from './vfio-ioas.js'

/** Registers the layer; `tables` are those of the engine's address spaces. */
export function registerVfioCompat(
  engine: Iommufd,
  tables: IopTables,
  options: VfioCompatOptions = {},
): void {
  const compat = new VfioCompat(engine, tables, options)
  const container = new Container(compat)
  engine.commands.register(IOMMU_VFIO_IOAS, (ucmd) => vfioIoas(compat, ucmd))
  engine.foreignIoctl = (ctx, task, cmd, argHi, argLo) =>
    container.ioctl(ctx, task, cmd, argHi, argLo)
}
