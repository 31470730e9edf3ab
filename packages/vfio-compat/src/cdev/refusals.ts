// SPDX-License-Identifier: Apache-2.0
/** The refusals of devices opened as /dev/vfio/devices/vfioN, and of binding them to an iommufd. */
import type { RefusalSite } from '@iommufd/core'
import { EBUSY, EINVAL, ENODEV, ENOSPC, EOPNOTSUPP } from '@iommufd/uapi'

const spec = 'section 7'

export const CDEV_DEVICE_GONE: RefusalSite = {
  id: 'CDEV_DEVICE_GONE',
  errno: ENODEV,
  spec,
  operands: { number: 'u32' },
  sentence: 'the device of vfio{number} is not bound to a VFIO driver any more',
  remedy: 'open the file of the device that is there now',
}

export const CDEV_NOT_BOUND: RefusalSite = {
  id: 'CDEV_NOT_BOUND',
  errno: EINVAL,
  spec,
  operands: { number: 'u32' },
  sentence: 'vfio{number} is not bound to an iommufd by this descriptor',
  remedy: 'make VFIO_DEVICE_BIND_IOMMUFD first; nothing else works before',
}

export const CDEV_ARGSZ_TOO_SMALL: RefusalSite = {
  id: 'CDEV_ARGSZ_TOO_SMALL',
  errno: EINVAL,
  spec,
  operands: { argsz: 'u32', minSize: 'u32' },
  sentence: 'the struct has argsz={argsz}; at least {minSize} are needed',
  remedy: 'set argsz to sizeof the struct; pasid counts when its flag is set',
}

export const BIND_ARGUMENT: RefusalSite = {
  id: 'BIND_ARGUMENT',
  errno: EINVAL,
  spec,
  operands: { iommufd: 's32', flags: 'flags' },
  sentence: 'VFIO_DEVICE_BIND_IOMMUFD has iommufd={iommufd} and flags {flags}',
  remedy: 'pass a descriptor of /dev/iommu, and flags 0 or FLAG_TOKEN (1)',
}

export const BIND_ON_GROUP_DEVICE: RefusalSite = {
  id: 'BIND_ON_GROUP_DEVICE',
  errno: EINVAL,
  spec,
  operands: {},
  sentence: 'the device was opened by its group, which has bound it already',
  remedy: 'open /dev/vfio/devices/vfioN instead, with the group closed',
}

export const BIND_GROUP_IN_USE: RefusalSite = {
  id: 'BIND_GROUP_IN_USE',
  errno: EBUSY,
  spec,
  operands: { group: 'u32' },
  sentence: 'group {group} of the device is open',
  remedy: 'close /dev/vfio/{group}; a group is used by its file or by the files of its devices',
}

export const BIND_TWICE: RefusalSite = {
  id: 'BIND_TWICE',
  errno: EINVAL,
  spec,
  operands: { number: 'u32' },
  sentence: 'this descriptor of vfio{number} is bound already',
  remedy: 'close it and open the device again to bind it to another iommufd',
}

export const BIND_TOKEN_UNSUPPORTED: RefusalSite = {
  id: 'BIND_TOKEN_UNSUPPORTED',
  errno: EINVAL,
  spec,
  operands: { number: 'u32' },
  sentence: 'a token is given for vfio{number}, which is no virtual function and takes none',
  remedy: 'leave VFIO_DEVICE_BIND_FLAG_TOKEN out',
}

export const BIND_DEVICE_OPEN: RefusalSite = {
  id: 'BIND_DEVICE_OPEN',
  errno: EINVAL,
  spec,
  operands: { number: 'u32' },
  sentence: 'the device of vfio{number} is in use by another descriptor',
  remedy: 'close that one first; a device is bound by one descriptor at a time',
}

export const ATTACH_FLAGS: RefusalSite = {
  id: 'ATTACH_FLAGS',
  errno: EINVAL,
  spec,
  operands: { flags: 'flags' },
  sentence: 'attaching or detaching has flags {flags}; there is PASID (1)',
  remedy: 'set flags to 0 or 1',
}

export const ATTACH_WITHOUT_PASIDS: RefusalSite = {
  id: 'ATTACH_WITHOUT_PASIDS',
  errno: EOPNOTSUPP,
  spec,
  operands: {},
  sentence: 'a device that the kernel emulates has no PASIDs',
  remedy: 'set flags to 0',
}

export const ATTACH_PASID_TOO_LARGE: RefusalSite = {
  id: 'ATTACH_PASID_TOO_LARGE',
  errno: ENOSPC,
  spec,
  operands: { pasid: 'u32' },
  sentence: '{pasid} is more than any PASID',
  remedy: 'use a PASID below 2^out_max_pasid_log2 of IOMMU_GET_HW_INFO',
}
