// SPDX-License-Identifier: Apache-2.0
/**
 * The assembled engine: every layer registered on one machine.
 *
 * Invariant: layers are put together here and nowhere else; what is not registered answers as a
 * kernel without it would.
 */
import { Iommufd, type IommufdOptions } from '@iommufd/core'
import type { Machine } from '@iommufd/host'
import { domainTraits, registerHwIommu } from '@iommufd/hw-iommu'
import { registerIoas } from '@iommufd/pages'
import { registerSelftest } from '@iommufd/selftest'
import { registerVfioCompat } from '@iommufd/vfio-compat'

export interface AttachOptions extends IommufdOptions {
  /** Serve IOMMU_TEST_CMD, as a kernel with CONFIG_IOMMUFD_TEST does. Default false. */
  readonly selftest?: boolean
}

/**
 * Gives `machine` an iommufd: registers /dev/iommu, and /dev/vfio/vfio, whose contexts begin with
 * IOMMU_OPTION_RLIMIT_MODE 1 (SPEC F1).
 */
export function attachIommufd(machine: Machine, options: AttachOptions = {}): Iommufd {
  const engine = new Iommufd(machine, options)
  const tables = registerIoas(engine)
  registerVfioCompat(engine, tables, { domainTraits })
  registerHwIommu(engine)
  if (options.selftest === true) registerSelftest(engine, tables)
  machine.registerDevice('/dev/iommu', () => engine.createContext('user'))
  machine.registerDevice('/dev/vfio/vfio', () => engine.createContext('mm'))
  return engine
}
