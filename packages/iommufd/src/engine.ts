// SPDX-License-Identifier: Apache-2.0
/**
 * The assembled engine: every layer registered on one machine.
 *
 * Invariant: layers are put together here and nowhere else; what is not registered answers as a
 * kernel without it would.
 */
import { Iommufd, type IommufdOptions } from '@iommufd/core'
import type { DeviceHost } from '@iommufd/host'
import { domainTraits, registerHwIommu } from '@iommufd/hw-iommu'
import { registerIoas } from '@iommufd/pages'
import { registerSelftest } from '@iommufd/selftest'
import { registerVfioCompat } from '@iommufd/vfio-compat'
import { registerType1, type Type1Options } from '@iommufd/vfio-compat/type1'

export interface AttachOptions extends IommufdOptions {
  /** Serve IOMMU_TEST_CMD, as a kernel with CONFIG_IOMMUFD_TEST does. Default false. */
  readonly selftest?: boolean
  /**
   * What stands behind /dev/vfio/vfio: an iommufd (default), or the container of vfio_iommu_type1,
   * which answers in its own manner (SPEC section 6, left column).
   */
  readonly as?: 'iommufd' | 'type1'
  /** Parameters of that container. */
  readonly type1?: Type1Options
  /** Offer devices without an IOMMU, as a kernel with CONFIG_VFIO_NOIOMMU does. Default false. */
  readonly vfioNoiommu?: boolean
}

/**
 * Gives `machine` an iommufd: registers /dev/iommu, and /dev/vfio/vfio, whose contexts begin with
 * IOMMU_OPTION_RLIMIT_MODE 1 (SPEC F1) unless it is a type 1 container.
 */
export function attachIommufd(machine: DeviceHost, options: AttachOptions = {}): Iommufd {
  const engine = new Iommufd(machine, options)
  const tables = registerIoas(engine)
  const vfioNoiommu = options.vfioNoiommu === true
  registerVfioCompat(engine, tables, { domainTraits, vfioNoiommu })
  registerHwIommu(engine)
  if (options.selftest === true) registerSelftest(engine, tables)
  machine.registerDevice('/dev/iommu', () => engine.createContext('user'))
  if (options.as === 'type1') {
    registerType1(engine, machine, { noiommu: vfioNoiommu, ...options.type1 })
  } else machine.registerDevice('/dev/vfio/vfio', () => engine.createContext('mm'))
  return engine
}
