// SPDX-License-Identifier: Apache-2.0
/**
 * VFIO_DEVICE_FEATURE (SPEC section 7): the device has none of the features, so after the checks that
 * come before any of them each is ENOTTY, also when it is only asked for (PROBE).
 */
import type { Iommufd } from '@iommufd/core'
import type { Task } from '@iommufd/host'
import {
  VFIO_DEVICE_FEATURE_GET,
  VFIO_DEVICE_FEATURE_MASK,
  VFIO_DEVICE_FEATURE_PROBE,
  VFIO_DEVICE_FEATURE_SET,
  vfio_device_feature,
} from '@iommufd/uapi'
import { ContainerArg } from '../container-arg.js'
import { PCI_ARGSZ_TOO_SMALL, PCI_FEATURE_ABSENT, PCI_FEATURE_FLAGS } from './refusals.js'

const { at: FEATURE, size: FEATURE_SIZE } = vfio_device_feature
const GET_AND_SET = VFIO_DEVICE_FEATURE_GET | VFIO_DEVICE_FEATURE_SET
const KNOWN = VFIO_DEVICE_FEATURE_MASK | GET_AND_SET | VFIO_DEVICE_FEATURE_PROBE

export function deviceFeature(engine: Iommufd, task: Task, hi: number, lo: number): number {
  const { refusals } = engine
  const arg = new ContainerArg(engine, FEATURE_SIZE)
  const rc = arg.read(task, hi, lo, FEATURE_SIZE)
  if (rc < 0) return rc
  const argsz = arg.lo(FEATURE.argsz)
  const flags = arg.lo(FEATURE.flags)
  if (argsz >>> 0 < FEATURE_SIZE) return refusals.refuse(PCI_ARGSZ_TOO_SMALL, argsz, FEATURE_SIZE)
  const isProbe = (flags & VFIO_DEVICE_FEATURE_PROBE) !== 0
  if ((flags & ~KNOWN) !== 0 || (!isProbe && (flags & GET_AND_SET) === GET_AND_SET)) {
    return refusals.refuse(PCI_FEATURE_FLAGS, flags)
  }
  return refusals.refuse(PCI_FEATURE_ABSENT, flags & VFIO_DEVICE_FEATURE_MASK)
}
