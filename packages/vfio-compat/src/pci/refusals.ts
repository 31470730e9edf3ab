// SPDX-License-Identifier: Apache-2.0
/** The refusals of a PCI device: its ioctls, regions and interrupts. */
import type { RefusalSite } from '@iommufd/core'
import { EBADF, EFAULT, EINVAL, EIO, ENODEV, ENOTTY, ERANGE } from '@iommufd/uapi'

const spec = 'section 7'

export const PCI_IOCTL_UNKNOWN: RefusalSite = {
  id: 'PCI_IOCTL_UNKNOWN',
  errno: ENOTTY,
  spec,
  operands: { cmd: 'flags' },
  sentence: 'a PCI device opened this way has no ioctl {cmd}',
  remedy: 'go on without it, as on a kernel that does not have it',
}

export const PCI_ARGSZ_TOO_SMALL: RefusalSite = {
  id: 'PCI_ARGSZ_TOO_SMALL',
  errno: EINVAL,
  spec,
  operands: { argsz: 'u32', minSize: 'u32' },
  sentence: 'the struct has argsz={argsz}; at least {minSize} are needed',
  remedy: 'set argsz to sizeof the struct, and the length of its data where it has some',
}

export const PCI_REGION_UNKNOWN: RefusalSite = {
  id: 'PCI_REGION_UNKNOWN',
  errno: EINVAL,
  spec,
  operands: { index: 'u32' },
  sentence: 'the device has no region {index}',
  remedy:
    'ask for those below num_regions of VFIO_DEVICE_GET_INFO; VGA is there on VGA devices only',
}

export const PCI_IRQ_UNKNOWN: RefusalSite = {
  id: 'PCI_IRQ_UNKNOWN',
  errno: EINVAL,
  spec,
  operands: { index: 'u32' },
  sentence: 'the device has no interrupts of index {index}',
  remedy: 'ask for those below num_irqs of VFIO_DEVICE_GET_INFO; ERR is there on PCIe devices only',
}

export const PCI_IRQ_FLAGS: RefusalSite = {
  id: 'PCI_IRQ_FLAGS',
  errno: EINVAL,
  spec,
  operands: { flags: 'flags' },
  sentence: 'VFIO_DEVICE_SET_IRQS has flags {flags}',
  remedy:
    'set one of DATA_NONE (1), DATA_BOOL (2), DATA_EVENTFD (4) and one ACTION (8, 0x10, 0x20)',
}

export const PCI_IRQ_RANGE: RefusalSite = {
  id: 'PCI_IRQ_RANGE',
  errno: EINVAL,
  spec,
  operands: { start: 'u32', count: 'u32', index: 'u32', interrupts: 'u32' },
  sentence:
    '{count} interrupts from {start} on are not among the {interrupts} that index {index} has',
  remedy: 'stay below count of VFIO_DEVICE_GET_IRQ_INFO',
}

export const PCI_IRQ_COUNT: RefusalSite = {
  id: 'PCI_IRQ_COUNT',
  errno: EINVAL,
  spec,
  operands: { index: 'u32', count: 'u32' },
  sentence: 'interrupt index {index} takes this for one interrupt; count is {count}',
  remedy: 'set count to 1; count 0 with DATA_NONE and ACTION_TRIGGER switches interrupts off',
}

export const PCI_IRQ_ACTION: RefusalSite = {
  id: 'PCI_IRQ_ACTION',
  errno: ENOTTY,
  spec,
  operands: { flags: 'flags', index: 'u32' },
  sentence: 'interrupts of index {index} have no action for flags {flags}',
  remedy: 'set exactly one action; MSI, ERR and REQ have ACTION_TRIGGER only',
}

export const PCI_IRQ_BY_EVENTFD: RefusalSite = {
  id: 'PCI_IRQ_BY_EVENTFD',
  errno: ENOTTY,
  spec,
  operands: { flags: 'flags' },
  sentence: 'the interrupt pin is not masked or unmasked by an eventfd (flags {flags})',
  remedy: 'unmask with DATA_NONE or DATA_BOOL; Linux takes an eventfd for ACTION_UNMASK',
}

export const PCI_IRQ_OTHER_IN_USE: RefusalSite = {
  id: 'PCI_IRQ_OTHER_IN_USE',
  errno: EINVAL,
  spec,
  operands: { index: 'u32', active: 'u32' },
  sentence: 'interrupts of index {index} are asked for while those of index {active} are in use',
  remedy: 'switch those off first: ACTION_TRIGGER, DATA_NONE, count 0',
}

export const PCI_IRQ_OFF: RefusalSite = {
  id: 'PCI_IRQ_OFF',
  errno: EINVAL,
  spec,
  operands: { index: 'u32' },
  sentence: 'interrupts of index {index} are not in use',
  remedy: 'switch them on first: ACTION_TRIGGER with DATA_EVENTFD',
}

export const PCI_MSI_WITHOUT_VECTORS: RefusalSite = {
  id: 'PCI_MSI_WITHOUT_VECTORS',
  errno: ERANGE,
  spec,
  operands: {},
  sentence: 'MSI is switched on with no vector',
  remedy: 'pass at least one descriptor; it may be -1',
}

export const PCI_MSI_VECTOR_ABSENT: RefusalSite = {
  id: 'PCI_MSI_VECTOR_ABSENT',
  errno: EINVAL,
  spec,
  operands: { vector: 'u32', vectors: 'u32' },
  sentence: 'vector {vector} is wanted; MSI was switched on with {vectors}',
  remedy: 'switch MSI off, and on again with as many as you need (VFIO_IRQ_INFO_NORESIZE)',
}

export const PCI_EVENTFD_NOT_OPEN: RefusalSite = {
  id: 'PCI_EVENTFD_NOT_OPEN',
  errno: EBADF,
  spec,
  operands: { fd: 's32' },
  sentence: 'descriptor {fd} is not open in this process',
  remedy: 'pass a descriptor of eventfd2, or -1 for none',
}

export const PCI_FD_IS_NO_EVENTFD: RefusalSite = {
  id: 'PCI_FD_IS_NO_EVENTFD',
  errno: EINVAL,
  spec,
  operands: { fd: 's32' },
  sentence: 'descriptor {fd} is no eventfd',
  remedy: 'pass a descriptor of eventfd2, or -1 for none',
}

export const PCI_FEATURE_FLAGS: RefusalSite = {
  id: 'PCI_FEATURE_FLAGS',
  errno: EINVAL,
  spec,
  operands: { flags: 'flags' },
  sentence: 'VFIO_DEVICE_FEATURE has flags {flags}: unknown bits, or GET and SET without PROBE',
  remedy: 'set the number of a feature and GET, SET or PROBE',
}

export const PCI_FEATURE_ABSENT: RefusalSite = {
  id: 'PCI_FEATURE_ABSENT',
  errno: ENOTTY,
  spec,
  operands: { feature: 'u32' },
  sentence: 'the device has no feature {feature}',
  remedy: 'ask with VFIO_DEVICE_FEATURE_PROBE first, and go on without',
}

export const PCI_HOT_RESET_FLAGS: RefusalSite = {
  id: 'PCI_HOT_RESET_FLAGS',
  errno: EINVAL,
  spec,
  operands: { flags: 'flags' },
  sentence: 'VFIO_DEVICE_PCI_HOT_RESET has flags {flags}',
  remedy: 'set flags to 0',
}

export const PCI_BUS_NOT_RESETTABLE: RefusalSite = {
  id: 'PCI_BUS_NOT_RESETTABLE',
  errno: ENODEV,
  spec,
  operands: {},
  sentence: 'neither the slot nor the bus of the device can be reset: there is no bridge above it',
  remedy: 'reset the device alone with VFIO_DEVICE_RESET',
}

export const PCI_REGION_INACCESSIBLE: RefusalSite = {
  id: 'PCI_REGION_INACCESSIBLE',
  errno: EINVAL,
  spec,
  operands: { index: 'u32' },
  sentence: 'region {index}, which the offset names, cannot be read or written',
  remedy: 'use offset of VFIO_DEVICE_GET_REGION_INFO, for regions with FLAG_READ or FLAG_WRITE',
}

export const PCI_ACCESS_BEYOND_BAR: RefusalSite = {
  id: 'PCI_ACCESS_BEYOND_BAR',
  errno: EINVAL,
  spec,
  operands: { offset: 'u64', index: 'u32', size: 'u64' },
  sentence: 'offset {offset} lies beyond the {size} bytes of BAR {index}',
  remedy: 'stay below size of VFIO_DEVICE_GET_REGION_INFO',
}

export const PCI_ACCESS_BEYOND_CONFIG: RefusalSite = {
  id: 'PCI_ACCESS_BEYOND_CONFIG',
  errno: EFAULT,
  spec,
  operands: { offset: 'u64', length: 'u32', size: 'u32' },
  sentence: '{length} bytes at offset {offset} are not in the {size} bytes of configuration space',
  remedy: 'stay below size of VFIO_DEVICE_GET_REGION_INFO',
}

export const PCI_MEMORY_DISABLED: RefusalSite = {
  id: 'PCI_MEMORY_DISABLED',
  errno: EIO,
  spec,
  operands: { index: 'u32' },
  sentence: 'BAR {index} is accessed while the command register has memory decoding off',
  remedy: 'set bit 1 of the command register first',
}

export const PCI_REGION_NOT_MAPPABLE: RefusalSite = {
  id: 'PCI_REGION_NOT_MAPPABLE',
  errno: EINVAL,
  spec,
  operands: { index: 'u32' },
  sentence: 'region {index} cannot be mmap-ed: a model answers each access to its registers',
  remedy: 'read and write it; map only regions that have VFIO_REGION_INFO_FLAG_MMAP',
}
