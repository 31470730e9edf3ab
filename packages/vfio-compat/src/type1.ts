// SPDX-License-Identifier: Apache-2.0
/**
 * The container of vfio_iommu_type1, to compare an iommufd with: same engine, same host, its own
 * behaviour (the left column of SPEC section 6).
 */
import type { Iommufd } from '@iommufd/core'
import type { DeviceRegistry } from './group/vfio.js'
import { Type1Container } from './type1/container.js'
import type { Type1Options } from './type1/options.js'

export { Type1Container } from './type1/container.js'
export { Type1Iommu } from './type1/iommu.js'
export type { Type1Options } from './type1/options.js'
export * as type1Refusals from './type1/refusals.js'

/** Makes /dev/vfio/vfio of a machine a type 1 container; the path must be free. */
export function registerType1(
  engine: Iommufd,
  registry: DeviceRegistry,
  options: Type1Options = {},
): void {
  registry.registerDevice('/dev/vfio/vfio', () => new Type1Container(engine, options))
}
