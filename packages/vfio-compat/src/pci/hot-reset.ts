// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_DEVICE_GET_PCI_HOT_RESET_INFO and VFIO_DEVICE_PCI_HOT_RESET (SPEC section 7): a device on a
 * bus that cannot be reset, as one on a root bus. The arguments are judged first.
 */
import type { Iommufd } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import { vfio_pci_hot_reset, vfio_pci_hot_reset_info } from '@iommufd/uapi'
import { ContainerArg } from '../container-arg.js'
import { PCI_ARGSZ_TOO_SMALL, PCI_BUS_NOT_RESETTABLE, PCI_HOT_RESET_FLAGS } from './refusals.js'

const { size: INFO_SIZE } = vfio_pci_hot_reset_info
const { at: RESET, size: RESET_SIZE } = vfio_pci_hot_reset

export function getHotResetInfo(engine: Iommufd, task: Task, hi: number, lo: number): number {
  const arg = read(engine, task, hi, lo, INFO_SIZE)
  return typeof arg === 'number' ? arg : engine.refusals.refuse(PCI_BUS_NOT_RESETTABLE)
}

export function hotReset(engine: Iommufd, task: Task, hi: number, lo: number): number {
  const arg = read(engine, task, hi, lo, RESET_SIZE)
  if (typeof arg === 'number') return arg
  const flags = arg.lo(RESET.flags)
  if (flags !== 0) return engine.refusals.refuse(PCI_HOT_RESET_FLAGS, flags)
  return engine.refusals.refuse(PCI_BUS_NOT_RESETTABLE)
}

/** The struct without its list: or -EFAULT, -EINVAL. */
function read(
  engine: Iommufd,
  task: Task,
  hi: number,
  lo: number,
  size: number,
): ContainerArg | number {
  const arg = new ContainerArg(engine, size)
  const rc = arg.read(task, hi, lo, size)
  if (rc < 0) return rc
  const argsz = arg.lo(0)
  return argsz >>> 0 < size ? engine.refusals.refuse(PCI_ARGSZ_TOO_SMALL, argsz, size) : arg
}
