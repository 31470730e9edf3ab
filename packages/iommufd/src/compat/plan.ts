// SPDX-License-Identifier: Apache-2.0
// Which groups a recording expects in /dev/vfio, and which devices in them: as many as it opens.

import { VFIO_GROUP_GET_DEVICE_FD } from '@iommufd/uapi'
import type { IoctlCall, TraceCall } from '../trace/trace.js'

/** Names of devices by number of their group. */
export type GroupPlan = ReadonlyMap<number, readonly string[]>

const GROUP_PATH = /^\/dev\/vfio\/(\d{1,9})$/

/** The number of the group that a path names. */
export function groupNumber(path: string): number | undefined {
  const match = GROUP_PATH.exec(path)
  return match === null ? undefined : Number(match[1])
}

export function planGroups(calls: readonly TraceCall[]): GroupPlan {
  const plan = new Map<number, string[]>()
  /** The group that a descriptor was last opened for, in any process: numbers are inherited by fork. */
  const opened = new Map<number, number>()
  for (const call of calls) {
    if (call.call === 'open') {
      const group = groupNumber(call.path)
      if (group === undefined) continue
      if (!plan.has(group)) plan.set(group, [])
      if (call.ret >= 0) opened.set(call.ret, group)
    } else if (call.call === 'ioctl' && call.cmd === VFIO_GROUP_GET_DEVICE_FD) {
      const devices = plan.get(opened.get(call.fd) ?? -1)
      const name = nameOf(call)
      if (name !== undefined && devices?.includes(name) === false) devices.push(name)
    }
  }
  for (const [group, devices] of plan) if (devices.length === 0) devices.push(`device of ${group}`)
  return plan
}

function nameOf({ arg }: IoctlCall): string | undefined {
  const end = arg?.indexOf(0) ?? -1
  return arg === undefined || end < 1 ? undefined : String.fromCharCode(...arg.subarray(0, end))
}
