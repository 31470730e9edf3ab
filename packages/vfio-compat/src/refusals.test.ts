// SPDX-License-Identifier: Apache-2.0
//
// Every refusal of the container, of groups, devices and type 1 is reached by a call, with its own errno and with all its words
// filled in; and the README names every one.

import * as uapi from '@iommufd/uapi'
import { MAP_ANONYMOUS, MAP_FIXED, MAP_PRIVATE, PROT_READ } from '@iommufd/uapi'
import { describe, expect, test } from 'vitest'
import readme from '../README.md?raw'
import { CdevWorld } from '../test/cdev-world.js'
import {
  ARG,
  Column,
  type ColumnOptions,
  IOVA,
  MEMORY,
  must,
  NOTHING,
  PAGE,
  WINDOW,
} from '../test/columns.js'
import { dirtyBitmapGet, unmapWithBitmap } from '../test/dirty.js'
import { PaperDevice } from '../test/paper-driver.js'
import { BAR_SIZE, CONFIG_OFFSET, PciWorld } from '../test/pci-world.js'
import { cdevRefusals, groupRefusals, PhysicalVfioDevice, vfio_pin_pages } from './group.js'
import {
  iommufd_vfio_compat_ioas_create,
  iommufd_vfio_compat_set_no_iommu,
  vfioCompatRefusals,
} from './index.js'
import { pciRefusals } from './pci.js'
import { type1Refusals } from './type1.js'

const MAP = uapi.VFIO_IOMMU_MAP_DMA
const UNMAP = uapi.VFIO_IOMMU_UNMAP_DMA
const DIRTY = uapi.VFIO_IOMMU_DIRTY_PAGES
const V1 = uapi.VFIO_TYPE1_IOMMU

type Scene = () => Column

const iommufd = (options?: ColumnOptions): Column => new Column('iommufd', options)
const type1 = (options?: ColumnOptions): Column => new Column('type1', options)

/** A scene that ends with `act`, on a fresh column that was prepared by `prepare`. */
function scene(make: () => Column, act: (column: Column) => unknown): Scene {
  return () => {
    const column = make()
    act(column)
    return column
  }
}

/** A column with a device open and 4 pages mapped. */
function started(
  make: (options?: ColumnOptions) => Column,
  type?: number,
  options?: ColumnOptions,
) {
  return (): Column => {
    const column = make(options)
    column.start('nic', type)
    column.mapPages(4)
    return column
  }
}

const words = (...values: number[]): Uint8Array => new Uint8Array(Uint32Array.from(values).buffer)
const ctxOf = (column: Column) => [...column.engine.contexts][0] as never

function noIommu(column: Column): Column {
  iommufd_vfio_compat_set_no_iommu(ctxOf(column))
  return column
}

const compat: Record<keyof typeof vfioCompatRefusals, Scene> = {
  COMPAT_IOAS_MISSING: scene(iommufd, (c) => c.map(IOVA)),
  VFIO_IOAS_RESERVED: scene(iommufd, (c) => c.call(uapi.IOMMU_VFIO_IOAS, words(12, 0, 0x10000))),
  VFIO_IOAS_OP_UNKNOWN: scene(iommufd, (c) => c.call(uapi.IOMMU_VFIO_IOAS, words(12, 0, 9))),
  DIRTY_PAGES_ABSENT: scene(iommufd, (c) => c.ioctl(DIRTY, 0)),
  IOMMU_TYPE_UNKNOWN: scene(iommufd, (c) => c.setIommu(99)),
  CONTAINER_WITHOUT_IOMMU: scene(iommufd, (c) => noIommu(c).setIommu(1)),
  NOIOMMU_NOT_PRIVILEGED: scene(
    () => iommufd({ noiommu: true, uid: 1000 }),
    (c) => noIommu(c).setIommu(8),
  ),
  INFO_ARGSZ_TOO_SMALL: scene(iommufd, (c) => c.info(15)),
  MAP_ARGSZ_TOO_SMALL: scene(iommufd, (c) => c.call(MAP, words(31))),
  MAP_FLAGS_UNKNOWN: scene(iommufd, (c) => c.map(IOVA, PAGE, MEMORY, 4)),
  UNMAP_ARGSZ_TOO_SMALL: scene(iommufd, (c) => c.call(UNMAP, words(23))),
  UNMAP_FLAGS_UNKNOWN: scene(iommufd, (c) => c.unmap(IOVA, PAGE, 1)),
  UNMAP_ALL_HAS_RANGE: scene(started(iommufd), (c) => c.unmap(IOVA, 0, 2)),
  UNMAP_SIZE_ZERO: scene(started(iommufd), (c) => c.unmap(IOVA, 0)),
  UNMAP_RANGE_WRAPS: scene(started(iommufd), (c) => c.unmap(2n ** 64n - 4096n, 2 * PAGE)),
  COMPAT_IS_NOIOMMU: scene(iommufd, (c) => iommufd_vfio_compat_ioas_create(ctxOf(noIommu(c)))),
  COMPAT_HAS_IOAS: scene(iommufd, (c) => {
    iommufd_vfio_compat_ioas_create(ctxOf(c))
    iommufd_vfio_compat_set_no_iommu(ctxOf(c))
  }),
}

/** The group's descriptor, in no container. */
const open = (column: Column, name = 'nic'): number => must(column.openGroup(column.device(name)))

/** A group whose device has been taken away. */
function emptied(column: Column): number {
  const group = open(column)
  const [device] = column.vfio.groups[0]?.devices ?? []
  if (device !== undefined) column.vfio.removeDevice(device)
  return group
}

const ioctl = (column: Column, fd: number, cmd: number, arg = ARG): number =>
  column.process.ioctl(fd, cmd, arg)

const groups: Record<keyof typeof groupRefusals, Scene> = {
  GROUP_IOCTL_UNKNOWN: scene(iommufd, (c) => ioctl(c, open(c), uapi.VFIO_GET_API_VERSION)),
  DEVICE_IOCTL_UNKNOWN: scene(iommufd, (c) => ioctl(c, c.start().device, 0x3b6b)),
  DEVICE_OPERATION_ABSENT: scene(iommufd, (c) => c.process.read(c.start().device, MEMORY, 1)),
  GROUP_USED_BY_DEVICE_FILES: () => cdev((w) => w.bound() && w.column.openGroup(0)),
  GROUP_OPEN_ALREADY: scene(iommufd, (c) => {
    open(c)
    c.openGroup(0)
  }),
  GROUP_WITHOUT_DEVICES: scene(iommufd, (c) => {
    must(c.process.close(emptied(c)))
    c.openGroup(0)
  }),
  NOIOMMU_GROUP_DENIED: scene(
    () => iommufd({ noiommu: true, uid: 1000 }),
    (c) => c.openGroup(c.withoutIommu('raw'), 'noiommu-'),
  ),
  NOIOMMU_DEVICE_DENIED: scene(
    () => iommufd({ noiommu: true }),
    (c) => {
      const group = must(c.openGroup(c.withoutIommu('raw'), 'noiommu-'))
      c.setContainer(group)
      c.process.setresuid(1000)
      c.openDevice(group, 'raw')
    },
  ),
  STATUS_ARGSZ_TOO_SMALL: scene(iommufd, (c) => {
    c.process.store(ARG, words(7))
    ioctl(c, open(c), uapi.VFIO_GROUP_GET_STATUS)
  }),
  GROUP_HAS_CONTAINER: scene(iommufd, (c) => c.setContainer(c.join())),
  GROUP_WITHOUT_IOMMU_GROUP: scene(iommufd, (c) => c.setContainer(emptied(c))),
  CONTAINER_FD_NOT_OPEN: scene(iommufd, (c) => c.setContainer(open(c), 77)),
  FILE_IS_NO_CONTAINER: scene(iommufd, (c) => c.setContainer(open(c), 0)),
  GROUP_WITHOUT_CONTAINER: scene(iommufd, (c) => c.openDevice(open(c), 'nic')),
  GROUP_HAS_OPEN_DEVICES: scene(type1, (c) =>
    ioctl(c, c.start().group, uapi.VFIO_GROUP_UNSET_CONTAINER),
  ),
  DEVICE_UNKNOWN: scene(iommufd, (c) => c.openDevice(c.join(), 'other')),
  DEVICE_NAME_TOO_LONG: scene(iommufd, (c) => {
    c.process.store(MEMORY, new Uint8Array(PAGE).fill(65))
    ioctl(c, open(c), uapi.VFIO_GROUP_GET_DEVICE_FD, MEMORY)
  }),
  NO_DESCRIPTOR_FREE: scene(iommufd, (c) => {
    const group = c.join()
    while (c.process.dup(0) >= 0);
    c.openDevice(group, 'nic')
  }),
  DEVICE_NOT_USABLE: scene(iommufd, (c) =>
    c.vfio.addDevice(new PhysicalVfioDevice(new PaperDevice('x'))),
  ),
}

/** A program with /dev/iommu open, and what it does. */
function cdev(act: (world: CdevWorld) => unknown): Column {
  const world = new CdevWorld()
  act(world)
  return world.column
}

/** A device that is not bound yet: its descriptor. */
function unbound(world: CdevWorld): number {
  world.device()
  return must(world.open())
}

const bindWords = (world: CdevWorld, ...values: number[]) =>
  world.ioctl(unbound(world), uapi.VFIO_DEVICE_BIND_IOMMUFD, words(...values))
const attachWords = (world: CdevWorld, ...values: number[]) =>
  world.ioctl(world.bound(), uapi.VFIO_DEVICE_ATTACH_IOMMUFD_PT, words(...values))

const cdevs: Record<keyof typeof cdevRefusals, Scene> = {
  CDEV_DEVICE_GONE: () =>
    cdev((w) => {
      w.device()
      const [device] = w.column.vfio.groups[0]?.devices ?? []
      w.column.vfio.removeDevice(device as never)
      w.open()
    }),
  CDEV_NOT_BOUND: () => cdev((w) => w.detach(unbound(w))),
  CDEV_ARGSZ_TOO_SMALL: () => cdev((w) => bindWords(w, 15)),
  BIND_ARGUMENT: () => cdev((w) => bindWords(w, 16, 0, 0xffffffff, 0)),
  BIND_ON_GROUP_DEVICE: () => {
    const world = new PciWorld()
    world.column.process.store(ARG, words(16, 0, 0, 0))
    world.ioctl(uapi.VFIO_DEVICE_BIND_IOMMUFD)
    return world.column
  },
  BIND_GROUP_IN_USE: () =>
    cdev((w) => {
      const fd = unbound(w)
      must(w.column.openGroup(0))
      w.bind(fd)
    }),
  BIND_TWICE: () => cdev((w) => w.bind(w.bound())),
  BIND_TOKEN_UNSUPPORTED: () => cdev((w) => bindWords(w, 16, 1, 0, 0)),
  BIND_DEVICE_OPEN: () => cdev((w) => w.bound() && w.bind(must(w.open()))),
  ATTACH_FLAGS: () => cdev((w) => attachWords(w, 12, 2, 1)),
  ATTACH_WITHOUT_PASIDS: () =>
    cdev((w) => {
      w.column.emulated('mdev')
      const fd = must(w.open())
      w.bind(fd)
      w.attach(fd, 1, 1)
    }),
  ATTACH_PASID_TOO_LARGE: () => cdev((w) => attachWords(w, 16, 1, 1, 0x80000000)),
}

/** A program with a PCI device open, and what it does. */
function pci(act: (world: PciWorld) => unknown): Scene {
  return () => {
    const world = new PciWorld()
    act(world)
    return world.column
  }
}

const pciWords = (cmd: number, ...values: number[]): Scene =>
  pci((w) => {
    must(w.column.process.store(ARG, words(...values)))
    w.ioctl(cmd)
  })
const TRIGGER = uapi.VFIO_IRQ_SET_ACTION_TRIGGER
const [NONE, EVENTFD] = [1, 4]
const MASK = uapi.VFIO_IRQ_SET_ACTION_MASK
const BAR2 = 2n << 40n

const pcis: Record<keyof typeof pciRefusals, Scene> = {
  PCI_IOCTL_UNKNOWN: pciWords(uapi.VFIO_DEVICE_IOEVENTFD),
  PCI_ARGSZ_TOO_SMALL: pciWords(uapi.VFIO_DEVICE_GET_INFO, 15),
  PCI_REGION_UNKNOWN: pciWords(uapi.VFIO_DEVICE_GET_REGION_INFO, 32, 0, 9),
  PCI_IRQ_UNKNOWN: pciWords(uapi.VFIO_DEVICE_GET_IRQ_INFO, 16, 0, 3),
  PCI_IRQ_FLAGS: pci((w) => w.setIrqs(0, 0x40, 0, 0)),
  PCI_IRQ_RANGE: pci((w) => w.setIrqs(0, NONE | TRIGGER, 1, 0)),
  PCI_IRQ_COUNT: pci((w) => w.setIrqs(0, NONE | TRIGGER, 0, 0)),
  PCI_IRQ_ACTION: pci((w) => w.setIrqs(1, NONE | MASK, 0, 1)),
  PCI_IRQ_BY_EVENTFD: pci((w) => {
    w.listen(0, [w.eventfd()])
    w.setIrqs(0, EVENTFD | MASK, 0, 1, [0, 0, 0, 0])
  }),
  PCI_IRQ_OTHER_IN_USE: pci((w) => {
    w.listen(0, [w.eventfd()])
    w.listen(1, [w.eventfd()])
  }),
  PCI_IRQ_OFF: pci((w) => w.setIrqs(0, NONE | TRIGGER, 0, 1)),
  PCI_MSI_WITHOUT_VECTORS: pci((w) => w.listen(1, [])),
  PCI_MSI_VECTOR_ABSENT: pci((w) => {
    w.listen(1, [-1])
    w.listen(1, [w.eventfd()], 1)
  }),
  PCI_EVENTFD_NOT_OPEN: pci((w) => w.listen(0, [77])),
  PCI_FD_IS_NO_EVENTFD: pci((w) => w.listen(0, [0])),
  PCI_FEATURE_FLAGS: pciWords(uapi.VFIO_DEVICE_FEATURE, 8, 0x80000),
  PCI_FEATURE_ABSENT: pciWords(uapi.VFIO_DEVICE_FEATURE, 8, 0x40001),
  PCI_HOT_RESET_FLAGS: pciWords(uapi.VFIO_DEVICE_PCI_HOT_RESET, 12, 1),
  PCI_BUS_NOT_RESETTABLE: pciWords(uapi.VFIO_DEVICE_GET_PCI_HOT_RESET_INFO, 12),
  PCI_REGION_INACCESSIBLE: pci((w) => w.read(6n << 40n, 1)),
  PCI_ACCESS_BEYOND_BAR: pci((w) => w.read(BAR2 + BigInt(BAR_SIZE), 1)),
  PCI_ACCESS_BEYOND_CONFIG: pci((w) => w.read(CONFIG_OFFSET + 256n, 1)),
  PCI_MEMORY_DISABLED: pci((w) => w.setConfig(4, 0) && w.read(BAR2, 1)),
  PCI_REGION_NOT_MAPPABLE: pci((w) => w.column.process.mmap(0, PAGE, 1, 1, w.fd, BAR2)),
}

/** Mapping 2 of 4 pages at IOVA has no address any more. */
function addressGone(column: Column): Column {
  column.unmap(IOVA, 4 * PAGE, 4)
  return column
}

const dirtyStart = (c: Column) => c.call(DIRTY, words(8, 1))
const pin = (c: Column, page: number, write = true) => {
  const device = c.vfio.groups.flatMap((group) => group.devices)[0] as never
  return vfio_pin_pages(device, IOVA + page * PAGE, 1, write, new Uint32Array(1))
}

/** Only an emulated device, which is open. */
function emulated(type?: number): () => Column {
  return () => {
    const column = type1()
    column.startEmulated(type)
    return column
  }
}

const type1Scenes: Record<keyof typeof type1Refusals, Scene> = {
  TYPE1_NOT_SET: scene(type1, (c) => c.map(IOVA)),
  TYPE1_SET_IOMMU_WITHOUT_GROUP: scene(type1, (c) => c.setIommu()),
  TYPE1_SET_IOMMU_TWICE: scene(started(type1), (c) => c.setIommu()),
  TYPE1_IOMMU_UNKNOWN: scene(type1, (c) => {
    c.join()
    c.setIommu(8)
  }),
  TYPE1_NOIOMMU_DENIED: scene(
    () => type1({ noiommu: true }),
    (c) => {
      const group = must(c.openGroup(c.withoutIommu('raw'), 'noiommu-'))
      c.process.setresuid(1000)
      c.setContainer(group)
    },
  ),
  TYPE1_GROUPS_MIXED: scene(
    () => type1({ noiommu: true }),
    (c) => {
      c.join()
      c.setContainer(must(c.openGroup(c.withoutIommu('raw'), 'noiommu-')))
    },
  ),
  TYPE1_CALL_UNKNOWN: scene(started(type1), (c) => c.ioctl(uapi.IOMMU_IOAS_ALLOC, ARG)),
  TYPE1_MSI_NOT_ISOLATED: scene(started(type1), (c) => {
    c.setContainer(must(c.openGroup(c.device('wild', { isolatedMsi: false }))))
  }),
  TYPE1_MAPPINGS_OUTSIDE: scene(emulated(), (c) => {
    c.map(WINDOW)
    c.setContainer(must(c.openGroup(c.device('late'))))
  }),
  TYPE1_DRIVER_REFUSED: scene(type1, (c) => {
    const dev = new PaperDevice('nic')
    must(c.iommu.addDevice(dev))
    dev.refuses = uapi.EINVAL
    c.setContainer(must(c.openGroup(c.add(new PhysicalVfioDevice(dev)))))
    c.setIommu()
  }),
  TYPE1_ADDRESSES_GONE: scene(started(type1), (c) => {
    const group = must(c.openGroup(c.device('late')))
    addressGone(c).setContainer(group)
  }),
  TYPE1_ARGSZ_TOO_SMALL: scene(started(type1), (c) => c.call(MAP, words(31))),
  TYPE1_MAP_FLAGS: scene(started(type1), (c) => c.map(IOVA, PAGE, MEMORY, 8)),
  TYPE1_RANGE_WRAPS: scene(started(type1), (c) => c.map(2n ** 64n - 4096n, 2 * PAGE)),
  TYPE1_SIZE_ZERO: scene(started(type1), (c) => c.map(IOVA, 0)),
  TYPE1_MISALIGNED: scene(started(type1), (c) => c.map(IOVA + 1)),
  TYPE1_OVERLAPS: scene(started(type1), (c) => c.map(IOVA)),
  TYPE1_TOO_MANY: scene(started(type1, 3, { dmaEntryLimit: 1 }), (c) => c.map(0)),
  TYPE1_IOVA_UNUSABLE: scene(started(type1), (c) => c.map(WINDOW)),
  TYPE1_PAGES_BAD: scene(started(type1), (c) => c.map(0, PAGE, NOTHING)),
  TYPE1_LIMIT_EXCEEDED: scene(started(type1, 3, { uid: 1000, rlimitMemlock: 4 * PAGE }), (c) =>
    c.map(0),
  ),
  TYPE1_NO_SUCH_MAPPING: scene(started(type1), (c) => c.map(0, PAGE, MEMORY, 4)),
  TYPE1_MAPPING_HAS_ADDRESS: scene(started(type1), (c) => c.map(IOVA, PAGE, MEMORY, 4)),
  TYPE1_UNMAP_FLAGS: scene(started(type1), (c) => c.unmap(IOVA, PAGE, 3)),
  TYPE1_ALL_HAS_RANGE: scene(started(type1), (c) => c.unmap(IOVA, PAGE, 2)),
  TYPE1_BISECTS: scene(started(type1), (c) => c.unmap(IOVA, PAGE)),
  TYPE1_EMULATED_DEVICES: scene(emulated(), (c) => c.unmap(IOVA, PAGE, 4)),
  TYPE1_VADDR_GONE_TWICE: scene(started(type1), (c) => addressGone(addressGone(c))),
  TYPE1_DIRTY_FIRST_VERSION: scene(started(type1, V1), dirtyStart),
  TYPE1_DIRTY_FLAGS: scene(started(type1), (c) => c.call(DIRTY, words(8, 3))),
  TYPE1_DIRTY_OFF: scene(started(type1), (c) => c.call(DIRTY, dirtyBitmapGet(4, IOVA, 4 * PAGE))),
  TYPE1_MAPPING_TOO_LARGE: scene(emulated(), (c) => {
    c.map(0, 2n ** 44n, 0x1000)
    dirtyStart(c)
  }),
  TYPE1_BITMAP_UNUSABLE: scene(started(type1), (c) => {
    c.call(UNMAP, unmapWithBitmap(1, IOVA, 4 * PAGE, { pgsize: 512 }))
  }),
  TYPE1_BITMAP_RANGE: scene(started(type1), (c) => {
    dirtyStart(c)
    c.call(DIRTY, dirtyBitmapGet(4, IOVA, PAGE))
  }),
  TYPE1_PIN_UNMAPPED: scene(emulated(), (c) => pin(c, 0)),
  TYPE1_PIN_DENIED: scene(emulated(), (c) => {
    const flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED
    c.process.mmap(NOTHING, PAGE, PROT_READ, flags)
    c.map(IOVA, PAGE, NOTHING, 1)
    pin(c, 0)
  }),
}

describe.each([
  ['container', compat, vfioCompatRefusals],
  ['groups', groups, groupRefusals],
  ['device files', cdevs, cdevRefusals],
  ['PCI devices', pcis, pciRefusals],
  ['type 1', type1Scenes, type1Refusals],
] as const)('%s', (_, scenes, sites) => {
  test.each(Object.entries(scenes))('%s is reached, with all its words', (id, play) => {
    const { last } = play().engine.refusals
    const site = (sites as Record<string, { id: string; errno: number; spec: string }>)[id]
    expect(last).toMatchObject({ id, errno: site?.errno, spec: site?.spec })
    expect(site?.id).toBe(id)
    expect(`${last?.sentence} ${last?.remedy}`).not.toMatch(/[{}]/)
    expect(last?.spec).toMatch(/^([A-Z]\d+|section \d+)$/)
  })
})

test('the README lists every refusal, and no other', () => {
  const sites = {
    ...vfioCompatRefusals,
    ...groupRefusals,
    ...cdevRefusals,
    ...pciRefusals,
    ...type1Refusals,
  }
  const rows = [...readme.matchAll(/^\| `([A-Z_0-9]+)` \| E[A-Z0-9]+ \|.*$/gm)].map(
    (match) => match[0],
  )
  const expected = Object.entries(sites).map(([name, { errno, spec, sentence }]) => {
    return `| \`${name}\` | ${uapi.errnoName(errno)} | ${spec} | ${sentence} |`
  })
  expect(rows.sort()).toEqual(expected.sort())
})
