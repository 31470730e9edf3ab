// SPDX-License-Identifier: Apache-2.0
/** The refusals of VFIO's groups and devices. */
import type { RefusalSite } from '@iommufd/core'
import { EBADF, EBADFD, EBUSY, EINVAL, EMFILE, ENODEV, ENOTTY, EPERM } from '@iommufd/uapi'

export const GROUP_IOCTL_UNKNOWN: RefusalSite = {
  id: 'GROUP_IOCTL_UNKNOWN',
  errno: ENOTTY,
  spec: 'section 6',
  operands: { cmd: 'flags' },
  sentence: 'a group has no ioctl {cmd}',
  remedy:
    'container ioctls go to the container (or the iommufd), device ioctls to what VFIO_GROUP_GET_DEVICE_FD gives',
}

export const DEVICE_IOCTL_UNKNOWN: RefusalSite = {
  id: 'DEVICE_IOCTL_UNKNOWN',
  errno: ENOTTY,
  spec: 'section 7',
  operands: { cmd: 'flags' },
  sentence: 'nothing behind this device serves ioctl {cmd}',
  remedy: 'put a device model behind it: the operations of VfioDevice',
}

export const DEVICE_OPERATION_ABSENT: RefusalSite = {
  id: 'DEVICE_OPERATION_ABSENT',
  errno: EINVAL,
  spec: 'section 7',
  operands: {},
  sentence: 'nothing behind this device serves reading, writing or mmap in this way',
  remedy: 'use the regions that VFIO_DEVICE_GET_REGION_INFO tells of, at their offsets',
}

export const GROUP_USED_BY_DEVICE_FILES: RefusalSite = {
  id: 'GROUP_USED_BY_DEVICE_FILES',
  errno: EBUSY,
  spec: 'section 7',
  operands: { group: 'u32', files: 'u32' },
  sentence: '{files} files of /dev/vfio/devices have bound devices of group {group}',
  remedy: 'close them first; a group is used by its file or by the files of its devices',
}

export const GROUP_OPEN_ALREADY: RefusalSite = {
  id: 'GROUP_OPEN_ALREADY',
  errno: EBUSY,
  spec: 'section 6',
  operands: { group: 'u32' },
  sentence: 'group {group} is open already, and can be open once',
  remedy: 'use the descriptor that is open (dup, or pass it to the other process), or close it',
}

export const GROUP_WITHOUT_DEVICES: RefusalSite = {
  id: 'GROUP_WITHOUT_DEVICES',
  errno: ENODEV,
  spec: 'section 6',
  operands: { group: 'u32' },
  sentence: 'no device of group {group} is bound to a VFIO driver any more',
  remedy: 'bind one (driver_override and bind in sysfs)',
}

export const NOIOMMU_GROUP_DENIED: RefusalSite = {
  id: 'NOIOMMU_GROUP_DENIED',
  errno: EPERM,
  spec: 'V31',
  operands: { group: 'u32' },
  sentence: 'group {group} has no IOMMU, which needs CAP_SYS_RAWIO',
  remedy: 'use a device behind an IOMMU, or run with CAP_SYS_RAWIO',
}

export const NOIOMMU_DEVICE_DENIED: RefusalSite = {
  id: 'NOIOMMU_DEVICE_DENIED',
  errno: EPERM,
  spec: 'V31',
  operands: { hasIoas: 'u32' },
  sentence:
    'a device without an IOMMU is opened without CAP_SYS_RAWIO, or where translation is expected (compatibility IOAS: {hasIoas})',
  remedy: 'run with CAP_SYS_RAWIO, on a context without a compatibility IOAS',
}

export const STATUS_ARGSZ_TOO_SMALL: RefusalSite = {
  id: 'STATUS_ARGSZ_TOO_SMALL',
  errno: EINVAL,
  spec: 'section 6',
  operands: { argsz: 'u32', minSize: 'u32' },
  sentence: 'VFIO_GROUP_GET_STATUS has argsz={argsz}; at least {minSize} are needed',
  remedy: 'set argsz to sizeof the struct',
}

export const GROUP_HAS_CONTAINER: RefusalSite = {
  id: 'GROUP_HAS_CONTAINER',
  errno: EINVAL,
  spec: 'V31',
  operands: { group: 'u32' },
  sentence: 'group {group} is in a container already',
  remedy: 'take it out with VFIO_GROUP_UNSET_CONTAINER first',
}

export const GROUP_WITHOUT_IOMMU_GROUP: RefusalSite = {
  id: 'GROUP_WITHOUT_IOMMU_GROUP',
  errno: ENODEV,
  spec: 'section 6',
  operands: { group: 'u32' },
  sentence: 'group {group} has lost its devices; there is no IOMMU group behind it',
  remedy: 'close it and open the group of the device that is there now',
}

export const CONTAINER_FD_NOT_OPEN: RefusalSite = {
  id: 'CONTAINER_FD_NOT_OPEN',
  errno: EBADF,
  spec: 'section 6',
  operands: { fd: 's32' },
  sentence: 'descriptor {fd} is not open in this process',
  remedy: 'pass the address of an int that holds the descriptor of the container',
}

export const FILE_IS_NO_CONTAINER: RefusalSite = {
  id: 'FILE_IS_NO_CONTAINER',
  errno: EBADFD,
  spec: 'section 6',
  operands: { fd: 's32' },
  sentence: 'descriptor {fd} is neither a container nor an iommufd',
  remedy: 'pass a descriptor of /dev/vfio/vfio or /dev/iommu',
}

export const GROUP_WITHOUT_CONTAINER: RefusalSite = {
  id: 'GROUP_WITHOUT_CONTAINER',
  errno: EINVAL,
  spec: 'section 6',
  operands: { group: 'u32' },
  sentence: 'group {group} is in no container, or in one without an IOMMU',
  remedy: 'make VFIO_GROUP_SET_CONTAINER and, on a type 1 container, VFIO_SET_IOMMU first',
}

export const GROUP_HAS_OPEN_DEVICES: RefusalSite = {
  id: 'GROUP_HAS_OPEN_DEVICES',
  errno: EBUSY,
  spec: 'V32',
  operands: { group: 'u32', devices: 'u32' },
  sentence: 'group {group} cannot leave its container: {devices} of its devices are open',
  remedy: 'close the device descriptors first',
}

export const DEVICE_UNKNOWN: RefusalSite = {
  id: 'DEVICE_UNKNOWN',
  errno: ENODEV,
  spec: 'section 6',
  operands: { group: 'u32' },
  sentence: 'group {group} has no device of this name that is bound to a VFIO driver',
  remedy: 'use the name in sysfs, such as 0000:06:0d.0',
}

export const DEVICE_NAME_TOO_LONG: RefusalSite = {
  id: 'DEVICE_NAME_TOO_LONG',
  errno: EINVAL,
  spec: 'section 6',
  operands: { limit: 'u32' },
  sentence: 'the name of the device has no zero byte among its first {limit}',
  remedy: 'pass a C string',
}

export const NO_DESCRIPTOR_FREE: RefusalSite = {
  id: 'NO_DESCRIPTOR_FREE',
  errno: EMFILE,
  spec: 'section 6',
  operands: {},
  sentence: 'the process has no descriptor left for the device',
  remedy: 'close descriptors, or raise RLIMIT_NOFILE',
}

export const DEVICE_NOT_USABLE: RefusalSite = {
  id: 'DEVICE_NOT_USABLE',
  errno: EINVAL,
  spec: 'section 6',
  operands: {},
  sentence: 'no IOMMU keeps the device apart, or its DMA is not coherent',
  remedy:
    'give the machine an IOMMU that serves the device, or allow devices without one (noiommu)',
}
